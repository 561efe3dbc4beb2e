package state

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/dgraph-io/badger/v4"

	"github.com/sallyport-dev/sallyport/internal/durable"
	"github.com/sallyport-dev/sallyport/state/journal"
	"github.com/sallyport-dev/sallyport/state/rows"
	"github.com/sallyport-dev/sallyport/state/sums"
)

// A backup is one stream. It is a framing of our own, and not Badger's: it holds the rows of keys, teams and what policies remember, the journal, and
// the files of the ledger's books and usage, and says where it ends. Numbers are big-endian, varints unsigned LEB128:
//
//	"sallyport-backup"   16 bytes
//	2                    1 byte, version; in version 1 there are no parts of files, and the ledger's books are among the rows
//	time                 8 bytes, Unix seconds
//	first                8 bytes, number of the journal's first segment
//	'r' key value        a row; both are a varint length and their bytes; in the order of their keys
//	's' number segment   varint; varint length and bytes; in order
//	'f' name part        the next part of a file: "books/" or "usage/" and its name; both are a varint length and bytes
//	'e' rows segments    how many there were, 8 bytes each
//	SHA-256              32 bytes, of all before
const (
	backupMagic   = "sallyport-backup"
	backupVersion = 2
	rowFrame      = 'r'
	segmentFrame  = 's'
	fileFrame     = 'f'
	endFrame      = 'e'

	filePart = 256 << 10 // bytes of a file in one frame
)

// Backup writes all that the ledger's folder has, as it is at one moment: keys, teams, the digests' secret, the
// journal, books and usage. It runs beside everything else; as long as it does, the journal gives nothing up. The stream
// holds no secret of a key, but who has it can test guesses of weak ones.
func (s *State) Backup(ctx context.Context, w io.Writer) (err error) {
	// Journal and rows are held still for the moment in which the transaction begins and the last number is read.
	s.moment.Lock()
	db, err := s.ledger.begin()
	if err != nil {
		s.moment.Unlock()
		return fmt.Errorf("making a backup: %w", err)
	}
	defer s.ledger.end()
	defer s.ledger.caught(&err)
	txn := db.NewTransaction(false)
	c := contents{version: backupVersion, time: s.clock().Unix(), first: s.journal.First(), last: s.journal.Last(), txn: txn, journal: s.journal}
	c.files, err = snapshot(s.books, s.usage)
	s.backups.Add(1)
	s.moment.Unlock()
	defer s.backups.Add(-1)
	defer txn.Discard()
	defer c.close()
	var sum []byte
	if err == nil {
		sum, err = c.dump(ctx, w)
	}
	if err == nil {
		_, err = w.Write(sum)
	}
	if err != nil {
		return fmt.Errorf("making a backup: %w", translate(err))
	}
	return nil
}

// contents is what a backup is made of.
type contents struct {
	version     byte
	time        int64
	first, last uint64 // segments
	txn         *badger.Txn
	journal     *journal.Journal
	files       []durable.File // of books and usage, named with their folders
}

// snapshot returns the files of books and usage, opened: they can be read though they are gone meanwhile.
func snapshot(r *rows.Table, u *sums.Sums) (all []durable.File, err error) {
	books, err := r.Snapshot()
	if err != nil {
		return nil, err
	}
	usage, err := u.Snapshot()
	return append(within(booksFolder, books), within(usageFolder, usage)...), err
}

// within names files with their folder.
func within(folder string, files []durable.File) []durable.File {
	for i := range files {
		files[i].Name = folder + "/" + files[i].Name
	}
	return files
}

// close closes the files, which were only read.
func (c *contents) close() {
	for _, f := range c.files {
		_ = f.Close()
	}
}

// dump writes everything but the checksum, which it returns.
func (c *contents) dump(ctx context.Context, w io.Writer) ([]byte, error) {
	sum := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(w, sum), 64<<10)
	b := append([]byte(backupMagic), c.version)
	b = binary.BigEndian.AppendUint64(b, uint64(c.time))
	b = binary.BigEndian.AppendUint64(b, c.first)
	_, err := out.Write(b) // an error stays with the writer until Flush
	rows, segments := uint64(0), uint64(0)
	if err == nil {
		rows, err = c.dumpRows(ctx, out)
	}
	if err == nil {
		segments, err = c.dumpSegments(ctx, out)
	}
	if err == nil {
		err = c.dumpFiles(ctx, out)
	}
	if err != nil {
		return nil, err
	}
	b = binary.BigEndian.AppendUint64(append(b[:0], endFrame), rows)
	b = binary.BigEndian.AppendUint64(b, segments)
	if _, err = out.Write(b); err == nil {
		err = out.Flush()
	}
	return sum.Sum(nil), err
}

func (c *contents) dumpRows(ctx context.Context, out *bufio.Writer) (rows uint64, err error) {
	it := c.txn.NewIterator(badger.IteratorOptions{})
	defer it.Close()
	var b []byte
	for it.Rewind(); it.Valid(); it.Next() {
		if err := ctx.Err(); err != nil {
			return rows, err
		}
		err := it.Item().Value(func(value []byte) error {
			key := it.Item().Key()
			b = append(binary.AppendUvarint(append(b[:0], rowFrame), uint64(len(key))), key...)
			b = append(binary.AppendUvarint(b, uint64(len(value))), value...)
			_, err := out.Write(b)
			return err
		})
		if err != nil {
			return rows, err
		}
		rows++
	}
	return rows, nil
}

// errEnough ends a reading at the last segment of the moment.
var errEnough = errors.New("enough")

func (c *contents) dumpSegments(ctx context.Context, out *bufio.Writer) (segments uint64, err error) {
	var b []byte
	err = c.journal.Segments(ctx, c.first, func(number uint64, segment []byte) error {
		if number > c.last {
			return errEnough
		}
		b = binary.AppendUvarint(append(b[:0], segmentFrame), number)
		b = append(binary.AppendUvarint(b, uint64(len(segment))), segment...)
		segments++
		_, err := out.Write(b)
		return err
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	if err == nil && segments != c.last+1-c.first {
		err = fmt.Errorf("%w: the journal has %d segments from %d to %d", ErrCorrupt, segments, c.first, c.last)
	}
	return segments, err
}

func (c *contents) dumpFiles(ctx context.Context, out *bufio.Writer) error {
	part, head := make([]byte, filePart), []byte(nil)
	for _, f := range c.files {
		for at := int64(0); at < f.Size; {
			if err := ctx.Err(); err != nil {
				return err
			}
			n, err := f.ReadAt(part[:min(filePart, f.Size-at)], at)
			if err != nil {
				return fmt.Errorf("reading %s: %w", f.Name, err)
			}
			at += int64(n)
			head = append(binary.AppendUvarint(append(head[:0], fileFrame), uint64(len(f.Name))), f.Name...)
			head = binary.AppendUvarint(head, uint64(n))
			if _, err := out.Write(head); err != nil {
				return err
			}
			if _, err := out.Write(part[:n]); err != nil {
				return err
			}
		}
	}
	return nil
}

// backupReader reads a backup and sums up what it read.
type backupReader struct {
	in  *bufio.Reader
	sum hash.Hash
	buf []byte
}

func newBackupReader(r io.Reader) *backupReader {
	return &backupReader{in: bufio.NewReaderSize(r, 64<<10), sum: sha256.New()}
}

// ReadByte is for varints.
func (r *backupReader) ReadByte() (byte, error) {
	b, err := r.in.ReadByte()
	if err == nil {
		r.sum.Write([]byte{b}) // a hash never returns an error
	}
	return b, err
}

// bytes reads n bytes, which are valid until the next call. It grows with what really comes, so that a damaged length
// allocates nothing.
func (r *backupReader) bytes(n uint64) ([]byte, error) {
	r.buf = r.buf[:0]
	for n > 0 {
		part := int(min(n, 64<<10))
		start := len(r.buf)
		r.buf = append(r.buf, make([]byte, part)...)
		if _, err := io.ReadFull(r.in, r.buf[start:]); err != nil {
			return nil, err
		}
		n -= uint64(part)
	}
	r.sum.Write(r.buf)
	return r.buf, nil
}

// sized reads a length and as many bytes.
func (r *backupReader) sized() ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	if n > journal.MaxSegment {
		return nil, fmt.Errorf("a frame of %d bytes", n)
	}
	return r.bytes(n)
}

func (r *backupReader) number() (uint64, error) {
	b, err := r.bytes(8)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(b), nil
}

// header reads what a backup begins with.
func (r *backupReader) header() (c contents, err error) {
	head, err := r.bytes(uint64(len(backupMagic)) + 1)
	if err != nil {
		return c, err
	}
	if string(head[:len(backupMagic)]) != backupMagic {
		return c, errors.New("it is no backup")
	}
	if c.version = head[len(backupMagic)]; c.version < 1 || c.version > backupVersion {
		return c, fmt.Errorf("it has version %d, this program knows %d", c.version, backupVersion)
	}
	at, err := r.number()
	if err == nil {
		c.first, err = r.number()
	}
	if err == nil && c.first == 0 {
		err = errors.New("its journal begins at 0")
	}
	c.time, c.last = int64(at), c.first-1
	return c, err
}

// end reads what a backup ends with, and compares it with what came before.
func (r *backupReader) end(rows, segments uint64) error {
	wantRows, err := r.number()
	if err != nil {
		return err
	}
	wantSegments, err := r.number()
	if err != nil {
		return err
	}
	sum := r.sum.Sum(nil)
	want, err := r.bytes(sha256.Size)
	switch {
	case err != nil:
		return err
	case string(want) != string(sum):
		return errors.New("the checksum is wrong")
	case rows != wantRows || segments != wantSegments:
		return fmt.Errorf("%d rows and %d segments, it says %d and %d", rows, segments, wantRows, wantSegments)
	}
	if _, err := r.in.ReadByte(); !errors.Is(err, io.EOF) {
		return errors.New("something follows its end")
	}
	return nil
}
