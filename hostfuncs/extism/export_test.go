package extism

import (
	"slices"

	"github.com/sallyport-dev/sallyport/runtime"
)

// Output returns what the guest has made its output.
func Output(s runtime.Session) []byte {
	k := s.(*kernel)
	return slices.Clone(k.view(k.output))
}

// Question returns what the running hook asks.
func Question(c *runtime.Call) []byte {
	k := newKernel(newGrammar())
	return appendQuestion(nil, k, c)
}

// ReadAnswer sets the outputs that a message stands for.
func ReadAnswer(c *runtime.Call, message []byte) (pass bool, err error) {
	k := newKernel(newGrammar())
	k.memory, k.output = slices.Clone(message), span{base, uint64(len(message))}
	return k.Answer(c)
}

// MaxAnswer is how many bytes of output are read.
const MaxAnswer = maxAnswer
