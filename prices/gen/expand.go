package main

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"
)

// expand returns patterns that mean the same as a regular expression: one for each way through its alternatives. What
// repeats becomes *, a digit #.
func expand(expression string) ([]string, error) {
	re, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return nil, err
	}
	all, err := walk(re)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", expression, err)
	}
	for i, s := range all {
		s, begins := strings.CutPrefix(s, begin)
		s, ends := strings.CutSuffix(s, end)
		if !begins {
			s = "*" + s
		}
		if !ends {
			s += "*"
		}
		all[i] = s
	}
	return all, nil
}

// Marks of the ends of the text, which no name has in it.
const (
	begin = "\x02"
	end   = "\x03"
)

func walk(re *syntax.Regexp) ([]string, error) {
	switch re.Op {
	case syntax.OpLiteral:
		return []string{string(re.Rune)}, nil
	case syntax.OpBeginText:
		return []string{begin}, nil
	case syntax.OpEndText:
		return []string{end}, nil
	case syntax.OpStar, syntax.OpPlus:
		return []string{"*"}, nil
	case syntax.OpCapture:
		return walk(re.Sub[0])
	case syntax.OpCharClass:
		if string(re.Rune) == "09" {
			return []string{"#"}, nil
		}
	case syntax.OpRepeat:
		if re.Min == re.Max {
			some, err := walk(re.Sub[0])
			if len(some) == 1 {
				some[0] = strings.Repeat(some[0], re.Min)
			}
			return some, err
		}
	case syntax.OpQuest:
		some, err := walk(re.Sub[0])
		return append(some, ""), err
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			some, err := walk(sub)
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
		return all, nil
	case syntax.OpConcat:
		return concat(re.Sub)
	case syntax.OpEmptyMatch:
		return []string{""}, nil
	}
	return nil, fmt.Errorf("no pattern says %s", re)
}

// concat returns every way to put the parts' patterns one behind the other.
func concat(parts []*syntax.Regexp) ([]string, error) {
	all := []string{""}
	for _, part := range parts {
		some, err := walk(part)
		if err != nil {
			return nil, err
		}
		var longer []string
		for _, head := range all {
			for _, tail := range some {
				longer = append(longer, head+tail)
			}
		}
		all = longer
	}
	return all, nil
}

// hosts returns the patterns of the hosts that an expression for a provider's addresses means. An address that is told
// from others by its path has none.
func hosts(expression string) (all []string, err error) {
	addresses, err := expand("^(?:" + expression + ")")
	if err != nil {
		return nil, err
	}
	for _, address := range addresses {
		if _, behind, found := strings.Cut(address, "://"); found {
			address = behind
		}
		host, path, _ := strings.Cut(address, "/")
		if strings.Trim(path, "*") != "" {
			continue
		}
		if whole, open := strings.CutSuffix(host, "*"); open && !strings.HasSuffix(whole, ".") {
			host = whole // the expression just does not say what comes behind the host
		}
		if !slices.Contains(all, host) {
			all = append(all, host)
		}
	}
	return all, nil
}
