package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/ledger"
)

// described is the description, as it is served.
var described = sync.OnceValues(func() (*openapi3.T, error) { return openapi3.NewLoader().LoadFromData(description) })

func mustDescribed(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := described()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestDescriptionIsValid(t *testing.T) {
	doc := mustDescribed(t)
	if err := doc.Validate(context.Background(), openapi3.IsOpenAPI31OrLater()); err != nil {
		t.Error(err)
	}
	ids := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" {
				t.Errorf("%s %s has the operation id %q and the summary %q", method, path, op.OperationID, op.Summary)
			}
			ids[op.OperationID] = true
		}
	}
}

// Every route is described, everything that is described is a route, and both say the same of who may use it.
func TestDescriptionHasEveryRoute(t *testing.T) {
	doc := mustDescribed(t)
	routes := map[string]access{}
	for _, r := range (&api{options(&shelf{}, testToken)}).routes() {
		routes[r.pattern] = r.access
		method, path, _ := strings.Cut(r.pattern, " ")
		item := doc.Paths.Value(path)
		if item == nil || item.GetOperation(method) == nil {
			t.Errorf("%s is not described", r.pattern)
		}
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			who, ok := routes[method+" "+path]
			if !ok {
				t.Errorf("%s %s is described, but is no route", method, path)
			}
			if free := op.Security != nil && len(*op.Security) == 0; free != (who == open) {
				t.Errorf("%s %s is described as open: %t", method, path, free)
			}
		}
	}
}

// What has a closed set of names in the gateway has the same one in the description.
func TestDescriptionNamesEverything(t *testing.T) {
	schemas := mustDescribed(t).Components.Schemas
	properties := func(schema string) []string { return slices.Collect(maps.Keys(schemas[schema].Value.Properties)) }
	enum := func(s *openapi3.Schema) (names []string) {
		for _, name := range s.Enum {
			names = append(names, fmt.Sprint(name))
		}
		return names
	}
	attempt := schemas["Attempt"].Value.Properties
	facts := []struct {
		what      string
		got, want []string
	}{
		{"limits", properties("Limits"), limitNames()},
		{"limits to change", properties("LimitsChange"), limitNames()},
		{"dimensions", properties("Usage"), namesOf(abi.Dimension(0))},
		{"periods", enum(schemas["Budget"].Value.Properties["per"].Value), periodNames()},
		{"states", enum(attempt["state"].Value), namesOf(ledger.State(0))},
		{"bases", enum(attempt["basis"].Value), namesOf(ledger.Basis(0))},
		{"flags", enum(attempt["flags"].Value.Items.Value), ledger.Flags(0xff).Names()},
		{"states of health", enum(schemas["Credential"].Value.Properties["state"].Value), HealthStates()},
		{"states of steps", enum(schemas["ChainStep"].Value.Properties["state"].Value), append(HealthStates(), "full")},
	}
	for _, f := range facts {
		slices.Sort(f.got)
		slices.Sort(f.want)
		if !slices.Equal(f.got, f.want) {
			t.Errorf("%s: described are %q, there are %q", f.what, f.got, f.want)
		}
	}
}

// namesOf returns the names of all values from first on.
func namesOf[T interface {
	~uint8
	String() string
}](first T) (names []string) {
	for v := first; v.String() != "unknown"; v++ {
		names = append(names, v.String())
	}
	return names
}

// conform compares an answer with the description, and a request that was granted, too.
func conform(t *testing.T, r *http.Request, body string, w *httptest.ResponseRecorder) {
	t.Helper()
	method, path, found := strings.Cut(r.Pattern, " ")
	if !found { // no such endpoint
		return
	}
	doc := mustDescribed(t)
	item := doc.Paths.Value(path)
	if item == nil || item.GetOperation(method) == nil {
		t.Errorf("%s is not described", r.Pattern)
		return
	}
	parameters := map[string]string{}
	for _, name := range []string{"key", "team", "id", "provider"} {
		if value := r.PathValue(name); value != "" {
			parameters[name] = value
		}
	}
	sent := httptest.NewRequestWithContext(t.Context(), r.Method, r.URL.String(), strings.NewReader(body))
	sent.Header = r.Header
	if body == "" {
		sent.Body = nil
	}
	request := &openapi3filter.RequestValidationInput{
		Request: sent, PathParams: parameters,
		Route:   &routers.Route{Spec: doc, Path: path, PathItem: item, Method: method, Operation: item.GetOperation(method)},
		Options: &openapi3filter.Options{IncludeResponseStatus: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	}
	if w.Code < http.StatusBadRequest {
		if err := openapi3filter.ValidateRequest(t.Context(), request); err != nil {
			t.Errorf("%s %s was granted, but is not described: %v", method, r.URL, err)
		}
	}
	media := w.Header().Get("Content-Type")
	if media == "application/jsonl" { // a line is what is described
		conformLines(t, request, w)
		return
	}
	conformAnswer(t, request, w, w.Body.Bytes())
}

func conformLines(t *testing.T, request *openapi3filter.RequestValidationInput, w *httptest.ResponseRecorder) {
	t.Helper()
	schema := request.Route.Spec.Components.Schemas["Attempt"].Value
	for line := range bytes.Lines(w.Body.Bytes()) {
		if err := validJSON(schema, line); err != nil {
			t.Errorf("%s: %s: %v", request.Request.URL, line, err)
		}
	}
}

func conformAnswer(t *testing.T, request *openapi3filter.RequestValidationInput, w *httptest.ResponseRecorder, body []byte) {
	t.Helper()
	media := w.Header().Get("Content-Type")
	request.Options.ExcludeResponseBody = !strings.HasPrefix(media, "application/json")
	err := openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: request, Status: w.Code, Header: w.Header(), Options: request.Options,
		Body: io.NopCloser(bytes.NewReader(body)),
	})
	if err != nil {
		t.Errorf("%s %s: the answer is not as described: %v", request.Route.Method, request.Request.URL, err)
	}
	plain, _, _ := strings.Cut(media, ";")
	if response := request.Route.Operation.Responses.Status(w.Code); response != nil && response.Value.Content.Get(plain) == nil {
		t.Errorf("%s %s: %d answers %s, which is not described", request.Route.Method, request.Request.URL, w.Code, media)
	}
}

func validJSON(schema *openapi3.Schema, text []byte) error {
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return err
	}
	return schema.VisitJSON(value, openapi3.EnableJSONSchema2020())
}
