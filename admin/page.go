package admin

import (
	"net/http"
	"strconv"
)

// How much a page of a listing holds.
const (
	defaultPage = 50
	// MaxPage is the most that a page of keys, teams or records holds.
	MaxPage = 1000
)

// page is which part of a listing is wanted.
type page struct {
	after string // the last one that was seen; "" for the first page
	limit int
}

// readPage reads limit and after; what is wrong with them is answered.
func readPage(w http.ResponseWriter, r *http.Request) (page, bool) {
	query := r.URL.Query()
	p := page{after: query.Get("after"), limit: defaultPage}
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > MaxPage {
			fail(w, http.StatusBadRequest, "invalid_limit", "limit must be a number from 1 to "+strconv.Itoa(MaxPage))
			return page{}, false
		}
		p.limit = n
	}
	return p, true
}
