package upstream

// writer gathers a request and writes it: in one piece if it is small. A longer one is listened for while it is on
// its way, because a provider that refuses it may say so before it has all of it, and may not read the rest.
type writer struct {
	trip *Trip
	buf  []byte
	n    int // bytes of buf that wait
}

// Write implements io.Writer for the request's body.
func (w *writer) Write(p []byte) (int, error) {
	total := 0
	for len(p) > len(w.buf)-w.n {
		w.trip.listen()
		var n int
		var err error
		if w.n == 0 {
			n, err = w.trip.conn.Write(p) // too long to be gathered
		} else {
			n = copy(w.buf[w.n:], p)
			w.n += n
			err = w.flush()
		}
		total += n
		p = p[n:]
		if err != nil {
			return total, err
		}
	}
	w.n += copy(w.buf[w.n:], p)
	return total + len(p), nil
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
