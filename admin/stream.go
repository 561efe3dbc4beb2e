package admin

import (
	"io"
	"net/http"
	"time"
)

// stallTime is how long a client may leave one write of a stream waiting: whoever reads the ledger keeps the old
// versions of its rows alive.
const stallTime = time.Minute

// stream answers with what write writes, as a file of this name. If write fails before anything was sent, the answer
// is an error; after that the connection is cut, so that a part cannot be taken for the whole.
func (a *api) stream(w http.ResponseWriter, r *http.Request, media, name string, write func(io.Writer) error) {
	out := &streamed{response: w, control: http.NewResponseController(w), head: func(h http.Header) {
		h.Set("Content-Type", media)
		h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
	}}
	err := write(out)
	switch {
	case err == nil:
		out.begin()
	case !out.begun:
		a.failWith(w, r, err)
	default:
		a.Log.Error("admin API: an answer was cut", "route", r.Pattern, "error", err)
		panic(http.ErrAbortHandler) // how net/http is told to cut the connection
	}
}

// streamed is a response that is begun by the first write to it.
type streamed struct {
	response http.ResponseWriter
	control  *http.ResponseController
	head     func(http.Header)
	begun    bool
}

func (s *streamed) begin() {
	if !s.begun {
		s.begun = true
		s.head(s.response.Header())
		s.response.WriteHeader(http.StatusOK)
	}
}

// Write implements io.Writer.
func (s *streamed) Write(p []byte) (int, error) {
	s.begin()
	_ = s.control.SetWriteDeadline(time.Now().Add(stallTime)) // without deadlines nothing is lost but this one
	return s.response.Write(p)
}

func (a *api) backup(w http.ResponseWriter, r *http.Request) {
	name := "sallyport-" + a.Now().UTC().Format("20060102T150405Z") + ".backup"
	a.stream(w, r, "application/octet-stream", name, func(out io.Writer) error { return a.Backups.Backup(r.Context(), out) })
}
