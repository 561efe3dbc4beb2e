package admin

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/sallyport-dev/sallyport/record"
)

// How many records a listing holds.
const (
	defaultRecords = 50
	maxRecords     = 1000
)

// recordList is the answer to a listing.
type recordList struct {
	Requests []json.RawMessage `json:"requests"`
}

func (a *api) findRecord(w http.ResponseWriter, r *http.Request) {
	rec, err := a.Records.Find(r.Context(), r.PathValue("id"))
	if err != nil {
		a.failWith(w, r, err)
		return
	}
	reply(w, http.StatusOK, json.RawMessage(record.AppendJSON(nil, &rec)))
}

func (a *api) recentRecords(w http.ResponseWriter, r *http.Request) {
	limit := defaultRecords
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxRecords {
			fail(w, http.StatusBadRequest, "invalid_limit", "limit must be a number from 1 to "+strconv.Itoa(maxRecords))
			return
		}
		limit = n
	}
	records, err := a.Records.Recent(r.Context(), limit, r.URL.Query().Get("before"))
	if err != nil {
		a.failWith(w, r, err)
		return
	}
	list := recordList{Requests: make([]json.RawMessage, 0, len(records))}
	for i := range records {
		list.Requests = append(list.Requests, record.AppendJSON(nil, &records[i]))
	}
	reply(w, http.StatusOK, list)
}
