package state

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// openDatabase opens one of Badger's folders with a small footprint: its defaults reserve 2.2 GB of sparse files and
// 256 MB of cache, which is meant for databases that are all that a machine does.
//
// Tables are as large as a memory table and merged eight at a time: with 1 MB and two, a quarter of what a logged
// request costs went into rewriting tables.
//
// Commits are not synced one by one. They are in a memory-mapped log at once, so killing the process loses nothing;
// what a power failure must not lose is synced by who wrote it.
func openDatabase(dir string, log *slog.Logger) (db *badger.DB, err error) {
	// Badger panics on some kinds of damage. Whoever opens decides what becomes of a damaged database.
	defer func() {
		if p := recover(); p != nil {
			db, err = nil, fmt.Errorf("%w: %v", ErrCorrupt, p)
		}
	}()
	db, err = badger.Open(badger.DefaultOptions(dir).
		WithLogger(logger{log.With("database", filepath.Base(dir))}).
		WithMemTableSize(8 << 20).
		WithNumMemtables(2).
		WithNumLevelZeroTables(8).
		WithNumLevelZeroTablesStall(24).
		WithBaseTableSize(8 << 20).
		WithNumCompactors(2).
		WithCompression(options.None).
		WithBlockCacheSize(8 << 20).
		WithIndexCacheSize(4 << 20).
		WithValueLogFileSize(16 << 20).
		WithMetricsEnabled(false).
		WithDetectConflicts(false)) // every key has one writer at a time: the keys' mutex, the log's committer
	return db, translate(err)
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
			return translate(err)
		}
	}
}

// translate turns Badger's errors into ours. Badger wraps without keeping the chain, so that errors.Is finds nothing
// in much of what it returns: past this point only our own sentinels are asked for.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, badger.ErrKeyNotFound):
		return ErrNotFound
	case errors.Is(err, badger.ErrDBClosed), errors.Is(err, badger.ErrBlockedWrites):
		return ErrClosed
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
