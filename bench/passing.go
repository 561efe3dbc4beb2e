package main

// passingPolicy is a policy that is asked at every hook and passes: what it costs is what asking costs.
func passingPolicy() []byte {
	section := func(id byte, content ...byte) []byte { return append([]byte{id, byte(len(content))}, content...) }
	exports := []byte{3}
	for _, hook := range []string{"authenticate", "choose_step", "price_response"} {
		exports = append(exports, byte(len(hook)))
		exports = append(exports, hook...)
		exports = append(exports, 0, 0) // function 0
	}
	m := []byte("\x00asm\x01\x00\x00\x00")
	m = append(m, section(1, 1, 0x60, 0, 1, 0x7f)...)        // one type: () -> i32
	m = append(m, section(3, 1, 0)...)                       // one function of it
	m = append(m, section(7, exports...)...)                 // that is all three hooks
	return append(m, section(10, 1, 4, 0, 0x41, 2, 0x0b)...) // and returns 2: pass
}
