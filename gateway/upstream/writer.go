package upstream

// writer gathers a request and writes it: in one piece if it is small. Of a longer one the socket takes as much as it has
// room for. If that is not all, the answer is listened for while the rest is on its way, because a provider that refuses a
// request may say so before it has all of it, and may not read the rest.
type writer struct {
	trip *Trip
	buf  []byte
	n    int // bytes of buf that wait
}

// Write implements io.Writer for the request's body.
func (w *writer) Write(p []byte) (int, error) {
	if len(p) <= len(w.buf)-w.n {
		w.n += copy(w.buf[w.n:], p)
		return len(p), nil
	}
	gathered := w.n
	n, err := w.trip.conn.writeNow(w.buf[:gathered], p)
	w.n = 0
	switch {
	case err != nil:
		return max(0, n-gathered), err
	case n == gathered+len(p):
		return len(p), nil
	}
	w.trip.listen()
	if n < gathered {
		if _, err := w.trip.conn.Write(w.buf[n:gathered]); err != nil {
			return 0, err
		}
		n = gathered
	}
	total := n - gathered
	n, err = w.trip.conn.Write(p[total:])
	return total + n, err
}

func (w *writer) flush() error {
	if w.n == 0 {
		return nil
	}
	_, err := w.trip.conn.Write(w.buf[:w.n])
	w.n = 0
	return err
}

// write sends the whole request.
func (t *Trip) write(req *Request) error {
	w := &t.out
	w.trip, w.n = t, 0
	w.buf = t.pool.buffers.getWrite()
	defer func() { t.pool.buffers.putWrite(w.buf); w.buf = nil }()
	if _, err := w.Write(req.Head); err != nil {
		return err
	}
	if req.Body != nil {
		if _, err := req.Body.WriteTo(w); err != nil {
			return err
		}
	}
	return w.flush()
}

// listen begins to wait for the answer while the request is being written. What it hears is for hear.
func (t *Trip) listen() {
	if t.listening {
		return
	}
	if t.heard == nil {
		t.heard = make(chan struct{}, 1)
	}
	t.listening = true
	go func() {
		t.refused = t.readHeader()
		t.conn.stopWriting() // an answer needs no more of the request, and after an end there will be none
		t.heard <- struct{}{}
	}()
}

// hear waits for the answer's header. wrote is how writing ended: even if it failed there may be an answer, which then
// says why. On a connection that was used before and took nothing there is none: what waits there was said before.
func (t *Trip) hear(wrote error, req *Request) error {
	switch {
	case wrote == nil:
		t.conn.await(req.Timeouts.FirstByte, t.listening)
	case t.conn.reused && t.conn.written == 0 && !t.listening:
		return wrote
	default:
		t.conn.await(answerGrace, t.listening)
	}
	if t.listening {
		<-t.heard
		t.listening = false
		return t.refused
	}
	return t.readHeader()
}
