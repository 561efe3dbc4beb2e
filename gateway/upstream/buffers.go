package upstream

import (
	"bufio"
	"bytes"
	"sync"

	"github.com/valyala/fasthttp"
)

// writeSize is of the buffer in which a request is gathered: an ordinary one goes out in one write.
const writeSize = 16 << 10

// buffers are those of a pool's round trips. Those that nobody needs are left to the garbage collector.
type buffers struct {
	reading sync.Pool // of *[readSize]byte
	small   sync.Pool // of *[smallSize]byte
	writing sync.Pool // of *[writeSize]byte
	parsing sync.Pool // of *parser
}

func (b *buffers) getRead() []byte {
	if p, ok := b.reading.Get().(*[readSize]byte); ok {
		return p[:]
	}
	return new([readSize]byte)[:]
}

func (b *buffers) getSmall() []byte {
	if p, ok := b.small.Get().(*[smallSize]byte); ok {
		return p[:]
	}
	return new([smallSize]byte)[:]
}

// putRead takes a buffer back, also a small one. One that had to grow is not kept.
func (b *buffers) putRead(buf []byte) {
	poison(buf)
	switch len(buf) {
	case readSize:
		b.reading.Put((*[readSize]byte)(buf))
	case smallSize:
		b.small.Put((*[smallSize]byte)(buf))
	}
}

func (b *buffers) getWrite() []byte {
	if p, ok := b.writing.Get().(*[writeSize]byte); ok {
		return p[:]
	}
	return new([writeSize]byte)[:]
}

func (b *buffers) putWrite(buf []byte) {
	poison(buf)
	b.writing.Put((*[writeSize]byte)(buf))
}

// parser lets fasthttp parse a header that is whole, which it only does from a bufio.Reader.
type parser struct {
	block bytes.Reader
	br    *bufio.Reader
}

// parse reads the header block into h, and reports whether it is one and nothing else.
func (b *buffers) parse(h *fasthttp.ResponseHeader, block []byte) bool {
	p, ok := b.parsing.Get().(*parser)
	if !ok {
		p = &parser{br: bufio.NewReaderSize(nil, maxHeader)}
	}
	defer b.parsing.Put(p)
	p.block.Reset(block)
	p.br.Reset(&p.block)
	err := h.Read(p.br)
	whole := p.br.Buffered() == 0 && p.block.Len() == 0
	p.block.Reset(nil)
	return err == nil && whole
}
