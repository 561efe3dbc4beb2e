//go:build !wasm

package hosttest

import (
	"slices"
	"time"

	sallyport "github.com/sallyport-dev/sallyport/sdk/go"
	"github.com/sallyport-dev/sallyport/sdk/go/internal/abi"
	"github.com/sallyport-dev/sallyport/sdk/go/internal/host"
)

// maxLogLines is how many lines a call may log.
const maxLogLines = 16

// fake is the host of one call: what can be read, and what was set.
type fake struct {
	setting Setting
	headers map[string]string
	texts   map[abi.Field][]string
	ints    map[abi.Field][]int64

	keys    map[[abi.DigestSize]byte]Identity
	found   []Identity // by handle - 1
	veto    bool
	steps   int64
	attempt int64

	setTexts map[abi.Field][]string
	setInts  map[abi.Field][]int64
	refused  []abi.Field // set out of range, and not set well since
	log      []string

	kvCalls, kvBytes int
	metrics          map[string]int64
}

func newFake(s Setting, r *Request) *fake {
	h := &fake{
		setting:  s,
		texts:    map[abi.Field][]string{},
		ints:     map[abi.Field][]int64{},
		setTexts: map[abi.Field][]string{},
		setInts:  map[abi.Field][]int64{},
	}
	if h.setting.Now.IsZero() {
		h.setting.Now = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if h.setting.Random == nil {
		h.setting.Random = func(b []byte) { clear(b) }
	}
	if r != nil {
		h.request(r)
	}
	return h
}

// text makes a field readable, unless it has no value.
func (h *fake) text(field abi.Field, value string) {
	delete(h.texts, field)
	if value != "" {
		h.texts[field] = []string{value}
	}
}

func (h *fake) request(r *Request) {
	h.headers = r.Headers
	h.text(abi.FieldRequestID, r.ID)
	h.text(abi.FieldRequestMethod, r.Method)
	h.text(abi.FieldRequestPath, r.Path)
	h.text(abi.FieldRequestFormat, r.Format)
	h.text(abi.FieldRequestOperation, r.Operation)
	h.text(abi.FieldRequestClientAddress, r.ClientAddress)
	h.text(abi.FieldRequestModel, r.Model)
	stream := int64(0)
	if r.Stream {
		stream = 1
	}
	h.ints[abi.FieldRequestStream] = []int64{stream}
}

func (h *fake) identity(i Identity) {
	h.text(abi.FieldIdentityKeyID, i.KeyID)
	h.text(abi.FieldIdentityName, i.Name)
	h.text(abi.FieldIdentityTeam, i.Team)
	h.ints[abi.FieldIdentityState] = []int64{int64(i.State)}
	delete(h.ints, abi.FieldIdentityExpires)
	if !i.Expires.IsZero() {
		h.ints[abi.FieldIdentityExpires] = []int64{i.Expires.UnixMilli()}
	}
	h.texts[abi.FieldIdentityModels] = i.Models
	h.text(abi.FieldIdentityDefaultModel, i.DefaultModel)
	h.ints[abi.FieldIdentityLimits] = i.Limits[:]
	delete(h.texts, abi.FieldIdentityLabels)
	for _, l := range i.Labels {
		h.texts[abi.FieldIdentityLabels] = append(h.texts[abi.FieldIdentityLabels], l.Name+"="+l.Value)
	}
}

// state adds what can be read of how the next step does.
func (h *fake) state(s StepState) {
	available := int64(0)
	if s.Available {
		available = 1
	}
	latency := s.Latency.Microseconds()
	if s.Latency > 0 {
		latency = max(latency, 1) // 0 is not known
	}
	cooldown := int64(0)
	if s.Cooldown > 0 {
		cooldown = int64((s.Cooldown-1)/time.Millisecond) + 1
	}
	for field, value := range map[abi.Field]int64{
		abi.FieldStepAvailable: available, abi.FieldStepHealth: int64(s.Health), abi.FieldStepCooldown: cooldown,
		abi.FieldStepLatency: latency, abi.FieldStepActive: s.Active,
	} {
		h.ints[field] = append(h.ints[field], value)
	}
}

// answer puts a value where the guest asked for it, by the rule of the contract.
func answer(value string, buf []byte) int32 {
	if len(value) <= len(buf) {
		copy(buf, value)
	}
	return int32(len(value))
}

func (h *fake) Get(field abi.Field, index int32, buf []byte) int32 {
	if field == abi.FieldCredential && !slices.Contains(h.setting.Inputs, field.Name()) {
		return int32(sallyport.NotGranted)
	}
	list := h.texts[field]
	if index < 0 || int(index) >= len(list) {
		return int32(sallyport.Absent)
	}
	return answer(list[index], buf)
}

func (h *fake) GetInts(field abi.Field, buf []int64) int32 {
	list := h.ints[field]
	if len(list) == 0 {
		return int32(sallyport.Absent)
	}
	if len(list) <= len(buf) {
		copy(buf, list)
	}
	return int32(8 * len(list))
}

func (h *fake) GetInt(field abi.Field) int64 {
	if list := h.ints[field]; len(list) > 0 {
		return list[0]
	}
	return abi.NoValue
}

func (h *fake) GetNamed(field abi.Field, name string, buf []byte) int32 {
	if !slices.Contains(h.setting.Inputs, field.Name()+"."+name) {
		return int32(sallyport.NotGranted)
	}
	value := h.headers[name]
	if value == "" {
		return int32(sallyport.Absent)
	}
	return answer(value, buf)
}

func (h *fake) IdentityLookup(digest []byte) int32 {
	if !h.setting.Identities {
		return int32(sallyport.NotGranted)
	}
	if h.keys == nil {
		return int32(sallyport.WrongHook)
	}
	if len(digest) != abi.DigestSize {
		return int32(sallyport.BadArgument)
	}
	key, ok := h.keys[[abi.DigestSize]byte(digest)]
	if !ok {
		return int32(sallyport.NotFound)
	}
	h.found = append(h.found, key)
	if !h.veto {
		h.identity(key)
	}
	return int32(len(h.found))
}

func (h *fake) Log(_ int32, line string) int32 {
	if len(h.log) == maxLogLines {
		return int32(sallyport.OverQuota)
	}
	h.log = append(h.log, line)
	return 0
}

func (h *fake) Now() int64 { return h.setting.Now.UnixMilli() }

func (h *fake) Random(b []byte) int32 {
	h.setting.Random(b)
	return 0
}

func (h *fake) Config(buf []byte) int32 {
	if h.setting.Config == "" {
		return int32(sallyport.Absent)
	}
	return answer(h.setting.Config, buf)
}

var _ host.Host = (*fake)(nil)
