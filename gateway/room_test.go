package gateway

import (
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/formats"
)

// A whole answer whose length is stated takes as much room as it needs, and no more: the last one that there is room
// for is passed on.
func TestAnswerThatFitsTheRoom(t *testing.T) {
	long := strings.Replace(wholeAnswer, `"hi"`, `"`+strings.Repeat("a", 1<<20)+`"`, 1)
	for _, f := range []struct{ missing, status int }{{0, 200}, {1, 502}} {
		url, _ := answers(t, 200, long, "Content-Length", itoa(len(long)))
		h := newHouse(t, formats.OpenAI, url)
		h.gateway.room.Add(int64(maxRoom - (len(long) + 1 - keptBuffer) + f.missing))
		if resp := h.post("/v1/chat/completions", chatBody); resp.StatusCode != f.status {
			t.Errorf("%d bytes missing: %d %.80s", f.missing, resp.StatusCode, text(t, resp.Body))
		}
	}
}
