package state

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"golang.org/x/sys/unix"

	"github.com/sallyport-dev/sallyport/state/journal"
	"github.com/sallyport-dev/sallyport/state/rows"
	"github.com/sallyport-dev/sallyport/state/sums"
)

// Bounds of a memory table, from which all of Badger's other sizes follow.
const (
	largeTable = 8 << 20
	smallTable = 1 << 20
)

// levelZero is how many tables are merged at one time. The ledger is read more than it is written, and each table that
// is not merged yet costs a look.
const levelZero = 4

// openDatabase opens one of Badger's folders with a small footprint: its defaults reserve 2.2 GB of sparse files and
// 256 MB of cache, which is meant for databases that are all that a machine does.
//
// Tables are as large as a memory table. There is no block cache: without compression a block is read where the
// file is mapped, and a cache in front of that costs each cold lookup a fifth more. The index cache is for encrypted
// tables only.
//
// Checksums are looked at when a folder is opened, not with each block: Badger reads a block with a wrong one as a block
// without rows, and a row that is not there would be an amount of zero.
//
// Commits are not synced one by one. They are in a memory-mapped log at once, so killing the process loses nothing;
// what a power failure must not lose is synced by who wrote it.
func openDatabase(dir string, memTable int64, log *slog.Logger) (db *badger.DB, err error) {
	// Badger panics on some kinds of damage. Nothing starts with a damaged database, and nothing else ends of one.
	defer func() {
		if p := recover(); p != nil {
			db, err = nil, fmt.Errorf("%w: %v", ErrCorrupt, p)
		}
	}()
	memTable = max(memTable, tableOf(dir))
	opts := badger.DefaultOptions(dir)
	opts.TableSizeMultiplier = 1 // what is merged at one time must fit on the disk
	if err := checkTables(dir, opts); err != nil {
		return nil, err
	}
	db, err = badger.Open(opts.
		WithLogger(logger{log.With("database", filepath.Base(dir))}).
		WithMemTableSize(memTable).
		WithNumMemtables(2).
		WithNumLevelZeroTables(levelZero).
		WithNumLevelZeroTablesStall(3 * levelZero).
		WithChecksumVerificationMode(options.NoVerification).
		WithBaseTableSize(memTable).
		WithBaseLevelSize(memTable + memTable/4).
		WithValueThreshold(memTable / 8). // a larger value would not fit into a transaction
		WithNumCompactors(2).
		WithCompression(options.None).
		WithBlockCacheSize(0).
		WithIndexCacheSize(0).
		WithValueLogFileSize(16 << 20).
		WithMetricsEnabled(false).
		WithDetectConflicts(false)) // every row has one writer at a time: who holds the keys' mutex
	return db, translate(err)
}

// tableOf returns the size of the memory tables that a process which was killed left in a folder: their logs are read
// back into tables of at least that size. 0 means that there are none.
func tableOf(dir string) (size int64) {
	files, _ := filepath.Glob(filepath.Join(dir, "*.mem")) // the pattern is sound
	for _, file := range files {
		if info, err := os.Stat(file); err == nil {
			size = max(size, info.Size()/2) // Badger makes the files twice as large
		}
	}
	return min(size, largeTable)
}

// reclaimSpace lets Badger give up value log files that hold little of use. Our values are small enough to lie
// elsewhere, but the files rotate all the same.
func reclaimSpace(db *badger.DB) error {
	for {
		err := db.RunValueLogGC(0.5)
		switch {
		case errors.Is(err, badger.ErrNoRewrite), errors.Is(err, badger.ErrRejected):
			return nil
		case err != nil:
			return err
		}
	}
}

// translate turns the errors of Badger, the journal's files and the disk into ours. Badger wraps without keeping the
// chain, so that errors.Is finds nothing in much of what it returns: past this point only our own sentinels are asked
// for.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, badger.ErrKeyNotFound):
		return ErrNotFound
	case errors.Is(err, badger.ErrDBClosed), errors.Is(err, badger.ErrBlockedWrites),
		errors.Is(err, journal.ErrClosed), errors.Is(err, rows.ErrClosed), errors.Is(err, sums.ErrClosed):
		return ErrClosed
	case errors.Is(err, journal.ErrCorrupt), errors.Is(err, rows.ErrCorrupt), errors.Is(err, sums.ErrCorrupt):
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EIO):
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	default:
		return err
	}
}

// logger hands Badger's log lines to slog. Its news are of no interest to an operator.
type logger struct{ log *slog.Logger }

func (l logger) Errorf(format string, args ...any) { l.log.Error("badger", "says", line(format, args)) }
func (l logger) Warningf(format string, args ...any) {
	l.log.Warn("badger", "says", line(format, args))
}
func (l logger) Infof(format string, args ...any)  { l.log.Debug("badger", "says", line(format, args)) }
func (l logger) Debugf(format string, args ...any) { l.log.Debug("badger", "says", line(format, args)) }

func line(format string, args []any) string {
	return strings.TrimSpace(fmt.Sprintf(format, args...))
}

var _ badger.Logger = logger{}
