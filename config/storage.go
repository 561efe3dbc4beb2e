package config

import (
	"slices"
	"strings"
	"time"
)

// Alerts say when somebody has to be told that a budget is being used up.
type Alerts struct {
	At      []int  // percentages of a budget, from 1 to 100, ascending, each told once a period; default 80 and 100
	Webhook string // URL that is told; "": only the log and the metrics tell
	Secret  string // signs what the webhook is sent, by HMAC; "": it is not signed
}

// RequestLog bounds the records of exchanges.
type RequestLog struct {
	Retention time.Duration // how long a record is kept; default 30 days
	MaxSize   int64         // bytes of all records, of which the oldest go first; default 4 GiB
}

// Disk says what is done before the disk is full. All are bytes.
type Disk struct {
	LogBelow    int64 // free space below which the request log stops; default 512 MiB
	LedgerBelow int64 // free space below which the ledger stops, and with it what it would have to book; default 256 MiB
	Ballast     int64 // size of a file that is given up when the disk is full all the same; 0 for none, default 64 MiB
}

// Drain says how the gateway ends when it is asked to.
type Drain struct {
	Delay   time.Duration // between saying that it is not ready and accepting nothing more; default 0
	Timeout time.Duration // how long exchanges under way may take from then on; default 30s
}

func defaultDrain() Drain { return Drain{Timeout: 30 * time.Second} }

// maxDrain bounds both spans of a drain.
const maxDrain = time.Hour

func (l *loading) drain(v value) {
	drain := &l.snapshot.Drain
	v.object([]field{
		optional("delay", func(v value) { v.duration(&drain.Delay, 0, maxDrain) }),
		optional("timeout", func(v value) { v.duration(&drain.Timeout, 0, maxDrain) }),
	})
}

// Defaults of what is stored, and of who is told.
const (
	defaultLogRetention = 30 * day
	defaultLogSize      = 4 << 30
	defaultLogBelow     = 512 << 20
	defaultLedgerBelow  = 256 << 20
	defaultBallast      = 64 << 20
)

// Bounds of what is stored.
const (
	minLogRetention  = time.Hour
	minSize, maxSize = 1 << 20, 1 << 40
)

func defaultAlerts() Alerts { return Alerts{At: []int{80, 100}} }

func defaultRequestLog() RequestLog {
	return RequestLog{Retention: defaultLogRetention, MaxSize: defaultLogSize}
}

func defaultDisk() Disk {
	return Disk{LogBelow: defaultLogBelow, LedgerBelow: defaultLedgerBelow, Ballast: defaultBallast}
}

// alerts reads who is told of budgets that are being used up.
func (l *loading) alerts(v value) {
	alerts := &l.snapshot.Alerts
	v.object([]field{
		optional("at", func(v value) { alerts.At = v.percentages() }),
		optional("webhook", func(v value) { v.webhook(&alerts.Webhook) }),
		optional("secret", func(v value) { alerts.Secret, _ = v.secret(secretLeast) }),
	})
}

// percentages reads shares of a budget. An empty list is one way to be told nothing.
func (v value) percentages() []int {
	at := []int{}
	v.items(func(v value) {
		n, ok := v.integer(1, 100)
		switch {
		case !ok:
		case slices.Contains(at, int(n)):
			v.fail("stands here twice")
		default:
			at = append(at, int(n))
		}
	})
	slices.Sort(at)
	return at
}

// webhook reads a URL that is called. Messages do not quote it: many services put their credential into its path.
func (v value) webhook(target *string) {
	s, _, ok := v.httpURL("secret signs what is sent")
	switch {
	case !ok:
	case strings.Contains(s, "#"):
		v.fail("must not hold a fragment")
	default:
		*target = s
	}
}

func (l *loading) requestLog(v value) {
	log := &l.snapshot.RequestLog
	v.object([]field{
		optional("retention", func(v value) { v.retention(&log.Retention, minLogRetention, maxRetention) }),
		optional("max_size", func(v value) { v.bytes(&log.MaxSize, minSize, maxSize) }),
	})
}

// disk reads what is done before the disk is full. The ledger has to be the last that stops.
func (l *loading) disk(v value) {
	disk := &l.snapshot.Disk
	v.object([]field{
		optional("log_below", func(v value) { v.bytes(&disk.LogBelow, minSize, maxSize) }),
		optional("ledger_below", func(v value) { v.bytes(&disk.LedgerBelow, minSize, maxSize) }),
		optional("ballast", func(v value) { v.bytes(&disk.Ballast, 0, maxSize) }),
	})
	if disk.LogBelow < disk.LedgerBelow {
		v.fail("log_below (%s) must not be less than ledger_below (%s): the request log has to stop first",
			formatSize(disk.LogBelow), formatSize(disk.LedgerBelow))
	}
}
