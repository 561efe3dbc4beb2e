package gateway

import (
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/record"
)

// refusal is an exchange that the gateway itself answers with an error. It speaks to two audiences: the client is
// told what its formats.Error says, the log and the record also learn the cause.
type refusal struct {
	*formats.Error
	outcome record.Outcome
	cause   error  // nil if the error says it all
	hangUp  bool   // nothing more is read from this connection
	allow   string // the method that would do, with status 405
}

// bad is a request that is wrong in itself.
func bad(err *formats.Error) *refusal { return &refusal{Error: err, outcome: record.Refused} }

// confusing is a request that another parser might read as a different one, or as two. The connection ends with it.
func confusing(format string, args ...any) *refusal {
	return &refusal{Error: formats.Refuse(formats.CodeInvalidRequest, "", format, args...), outcome: record.Refused, hangUp: true}
}

// denied is a caller who may not.
func denied(status int, code, message string) *refusal {
	return bad(&formats.Error{Status: status, Code: code, Message: message, NoRetry: true})
}

// broken is a failure of our own.
func broken(cause error) *refusal {
	return &refusal{
		Error:   &formats.Error{Status: 500, Code: formats.CodeInternalError, Message: "The gateway failed to handle this request.", NoRetry: true},
		outcome: record.Broken, cause: cause,
	}
}
