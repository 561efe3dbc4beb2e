package requestlog

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
)

// Row is a row that was read.
type Row struct {
	Key   string
	Value []byte
}

// list returns what is known of the files now.
func (l *Log) list() ([]file, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return nil, ErrClosed
	}
	return slices.Clone(l.files), nil
}

// Find returns the value of the row with this key, unless it has expired by now, in Unix seconds. Of two the later one
// is found.
func (l *Log) Find(ctx context.Context, key string, now int64) (value []byte, found bool, err error) {
	files, err := l.list()
	if err != nil {
		return nil, false, err
	}
	for _, f := range slices.Backward(files) {
		if f.rows == 0 || key < f.first || key > f.last || f.expires <= now {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		err := l.read(&f, func(r row) {
			if string(r.key) == key && r.expires > now {
				value, found = slices.Clone(r.value), true
			}
		})
		if err != nil || found {
			return value, found, err
		}
	}
	return nil, false, nil
}

// Newest returns up to limit rows whose keys sort before before, or any if it is empty, and that have not expired by
// now: the greatest keys first.
func (l *Log) Newest(ctx context.Context, limit int, before string, now int64) (rows []Row, err error) {
	for last := uint64(0); ; {
		files, err := l.list()
		if err != nil || limit <= 0 || len(files) == 0 || files[len(files)-1].number == last {
			return nil, err
		}
		// A log that is written fast may give up all that was listed before it could be read. Then there are newer files.
		last = files[len(files)-1].number
		if rows, err := l.newestIn(ctx, files, limit, before, now); err != nil || len(rows) > 0 {
			return rows, err
		}
	}
}

// newestIn returns what Newest would if there were these files only. It changes their order.
func (l *Log) newestIn(ctx context.Context, files []file, limit int, before string, now int64) (rows []Row, err error) {
	// A request that took long is written behind younger ones: files overlap, and not the last one has the greatest keys.
	slices.SortStableFunc(files, func(a, b file) int { return cmp.Compare(b.last, a.last) })
	for _, f := range files {
		if f.rows == 0 || before != "" && f.first >= before || f.expires <= now {
			continue
		}
		if len(rows) == limit && f.last < rows[limit-1].Key {
			break // all that follow are older
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		own, err := l.newestOf(&f, limit, before, now)
		if err != nil {
			return nil, err
		}
		rows = append(rows, own...)
		slices.SortStableFunc(rows, newestFirst)
		rows = rows[:min(len(rows), limit)]
	}
	return rows, nil
}

func newestFirst(a, b Row) int { return cmp.Compare(b.Key, a.Key) }

// newestOf returns what Newest would if there were no other file.
func (l *Log) newestOf(f *file, limit int, before string, now int64) (rows []Row, err error) {
	err = l.read(f, func(r row) {
		if r.expires > now && (before == "" || string(r.key) < before) {
			rows = append(rows, Row{Key: string(r.key), Value: r.value})
		}
	})
	slices.SortStableFunc(rows, newestFirst)
	rows = slices.Clone(rows[:min(len(rows), limit)])
	for i := range rows {
		rows[i].Value = slices.Clone(rows[i].Value) // and let go of the file's content
	}
	return rows, err
}

// read shows every row of a file. What see keeps of one it must copy.
func (l *Log) read(f *file, see func(row)) error {
	l.reading.Lock()
	defer l.reading.Unlock()
	in, err := os.Open(l.path(f.number))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it has been given up meanwhile
	}
	if err != nil {
		return err
	}
	content := make([]byte, f.size)
	n, err := io.ReadFull(in, content)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil // somebody has cut it
	}
	scan(content[:n], see)
	return errors.Join(err, in.Close())
}
