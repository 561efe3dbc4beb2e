package state

// dropExpired gives up the files of the request log in which everything has expired. Rows that have expired in others
// are there no more for who reads.
func (l *requestLog) dropExpired() {
	if err := l.files.Trim(l.clock().Unix()); err != nil {
		l.log.Error("dropping the oldest part of the request log failed", "error", translate(err))
	}
}
