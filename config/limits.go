package config

import (
	"slices"
	"strings"
	"unicode"

	"github.com/sallyport-dev/sallyport/abi"
)

// maxLimit is more requests or tokens than anybody will ever see.
const maxLimit = 1_000_000_000_000_000

// limitFields are the fields that bound requests and tokens. instead says how to allow none, for those who try 0.
func limitFields(limits *abi.Limits, instead string) []field {
	fields := make([]field, abi.NumLimits)
	for limit := range abi.NumLimits {
		fields[limit] = optional(limit.String(), func(v value) {
			if s, ok := v.plain(); ok && s == "0" {
				v.fail("must not be 0: to refuse every request, %s", instead)
				return
			}
			v.number(&limits[limit], 1, maxLimit)
		})
	}
	return fields
}

// Bounds of the labels of one key or team.
const (
	maxLabels = 16
	maxLabel  = 128 // bytes of "name=value"
)

// labels reads names and values for reports, in the order of the file.
func (v value) labels() (labels []abi.Label) {
	v.mapping(func(name string, child value) {
		s, ok := child.text()
		odd := func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }
		message := checkName(name)
		switch {
		case !ok:
		case message != "":
			child.fail("the name of a label %s", message)
		case len(name)+len("=")+len(s) > maxLabel || s != strings.TrimSpace(s) || strings.ContainsFunc(s, odd):
			child.fail("must be printable text without white space at its ends, of at most %d bytes with its name", maxLabel)
		default:
			labels = append(labels, abi.Label{Name: name, Value: s})
		}
	})
	if len(labels) > maxLabels {
		v.fail("has %d labels, at most %d are possible", len(labels), maxLabels)
	}
	return labels
}

// mayUse says whether somebody who may use these models may use one.
func mayUse(models []string, model string) bool {
	return len(models) == 0 || slices.ContainsFunc(models, func(pattern string) bool {
		prefix, wild := strings.CutSuffix(pattern, "*")
		return pattern == model || wild && strings.HasPrefix(model, prefix)
	})
}
