package fuel

import "errors"

// What a module can be refused for. Every error of this package wraps exactly one of these, and its text says what
// was found, and where: the section, the function with its name if the module has one, and the byte offset.
var (
	// ErrMalformed: the bytes are not a WebAssembly module, or an index in it points nowhere.
	ErrMalformed = errors.New("malformed module")
	// ErrUnsupported: the module uses a feature beyond core WebAssembly 2.0.
	ErrUnsupported = errors.New("unsupported feature")
	// ErrLimit: the module is larger than the Limits in some respect.
	ErrLimit = errors.New("over the limit")
	// ErrReserved: the module exports the name that is reserved for the fuel global.
	ErrReserved = errors.New("reserved name")
)
