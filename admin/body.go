package admin

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
)

// maxBody bounds the body of an API request.
const maxBody = 1 << 20

// decode reads a JSON body strictly; what is wrong with it is answered.
func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || !isJSON(media) {
		fail(w, http.StatusUnsupportedMediaType, "unsupported_media_type", "Content-Type must be application/json")
		return false
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		fail(w, http.StatusBadRequest, "invalid_json", err.Error())
		return false
	}
	if _, err := d.Token(); err != io.EOF {
		fail(w, http.StatusBadRequest, "invalid_json", "the body goes on after its JSON document")
		return false
	}
	return true
}

func isJSON(media string) bool {
	return media == "application/json" || media == "application/merge-patch+json"
}
