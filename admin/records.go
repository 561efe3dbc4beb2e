package admin

import (
	"encoding/json"
	"net/http"

	"github.com/sallyport-dev/sallyport/record"
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
	p, ok := readPage(w, r)
	if !ok {
		return
	}
	records, err := a.Records.Recent(r.Context(), p.limit, r.URL.Query().Get("before"))
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
