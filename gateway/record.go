package gateway

import (
	"time"

	"github.com/sallyport-dev/sallyport/record"
)

// maxRecordedModel is how much of an unknown model's name a record keeps.
const maxRecordedModel = 128

// leaveRecord completes the exchange's record and hands it on.
func (x *exchange) leaveRecord() {
	r := &x.record
	r.Format = x.route.Format.String()
	r.Status = x.ctx.Response.StatusCode()
	r.Duration = time.Since(x.start)
	if x.chain != nil {
		r.Model = x.chain.Name
	} else if m := x.facts.Model; len(m) > 0 {
		r.Model = string(m[:min(len(m), maxRecordedModel)])
	}
	if r.Outcome == record.ClientGone && r.FirstByte == 0 {
		r.Status = statusClientGone
	} else if !x.ctx.Response.IsBodyStream() {
		r.FirstByte = r.Duration
	}
	x.gateway.recorder.Record(r)
}
