package document

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// maxWork bounds the parts of a schema, each counted as often as references lead to it: about what checking one value
// takes. A schema comes with a policy, and must not be able to keep its host busy.
const maxWork = 5_000

// Schema is a JSON Schema, draft 2020-12 unless it names another one. It stands for itself: it refers to its own "$defs"
// alone, and not in a circle.
type Schema struct{ compiled *jsonschema.Schema }

// CompileSchema makes a schema of a JSON document. The error is Problems.
func CompileSchema(d *Document) (*Schema, error) {
	w := weigher{document: d, known: map[string]int{}}
	w.weigh(d.Value, "")
	if len(w.problems) > 0 {
		w.problems.Sort()
		return nil, w.problems
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(nothing{})
	c.AssertFormat()
	const name = "sallyport:schema"
	err := c.AddResource(name, d.Value)
	if err != nil {
		return nil, Problems{{Message: "is no JSON Schema: " + err.Error()}}
	}
	compiled, err := c.Compile(name)
	if wrong, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		if within, ok := errors.AsType[*jsonschema.ValidationError](wrong.Err); ok {
			return nil, d.explain(within)
		}
	}
	if err != nil {
		return nil, Problems{{Message: "is no JSON Schema: " + strings.TrimPrefix(err.Error(), name)}}
	}
	return &Schema{compiled}, nil
}

// Check returns what is wrong with a document, nothing if it fits.
func (s *Schema) Check(d *Document) Problems {
	err := s.compiled.Validate(d.Value)
	if err == nil {
		return nil
	}
	if wrong, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		return d.explain(wrong)
	}
	return Problems{{Line: d.Line(""), Message: "cannot be checked: " + err.Error()}}
}

// nothing is what a schema can load from elsewhere.
type nothing struct{}

func (nothing) Load(string) (any, error) {
	return nil, errors.New(`schemas refer to their own "$defs" alone`)
}

// weigher counts the parts of a schema.
type weigher struct {
	document *Document
	known    map[string]int // by the pointer of a definition; -1 while it is counted
	problems Problems
}

func (w *weigher) fail(pointer, format string, args ...any) int {
	w.problems = append(w.problems, Problem{Line: w.document.Line(pointer), Pointer: pointer, Message: fmt.Sprintf(format, args...)})
	return 0
}

// otherReferences are keywords that lead elsewhere in ways that are not followed here.
var otherReferences = []string{"$dynamicRef", "$recursiveRef", "$id", "$anchor", "$dynamicAnchor"}

// weigh returns how many parts a schema has.
func (w *weigher) weigh(value any, pointer string) (work int) {
	switch value := value.(type) {
	case []any:
		for i, part := range value {
			work += w.weigh(part, element(pointer, i))
		}
	case map[string]any:
		work = 1
		for name, part := range value {
			target, isText := part.(string)
			switch {
			case name == "$ref" && isText:
				work += w.follow(target, member(pointer, name))
			case name == "$defs" && pointer == "":
			case slices.Contains(otherReferences, name) && isText:
				w.fail(member(pointer, name), "is not supported")
			default:
				work += w.weigh(part, member(pointer, name))
			}
		}
	}
	if work > maxWork && len(w.problems) == 0 {
		return w.fail(pointer, "takes too long to check: the references multiply")
	}
	return min(work, maxWork+1)
}

// follow returns the weight of what a reference leads to.
func (w *weigher) follow(target, pointer string) int {
	name, ok := strings.CutPrefix(target, "#/$defs/")
	if !ok || strings.Contains(name, "/") {
		return w.fail(pointer, `must refer to one of the schema's own "$defs"`)
	}
	if work, known := w.known[name]; known {
		if work < 0 {
			return w.fail(pointer, "refers to itself")
		}
		return work
	}
	root, _ := w.document.Value.(map[string]any)
	definitions, _ := root["$defs"].(map[string]any)
	definition, ok := definitions[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)]
	if !ok {
		return w.fail(pointer, "there is no definition of this name")
	}
	w.known[name] = -1
	work := w.weigh(definition, "/$defs/"+name)
	w.known[name] = work
	return work
}

// explain returns what a validation found, part by part.
func (d *Document) explain(e *jsonschema.ValidationError) Problems {
	var all Problems
	var collect func(*jsonschema.ValidationError)
	collect = func(e *jsonschema.ValidationError) {
		message := describe(e.ErrorKind)
		if message == "" && len(e.Causes) > 0 {
			for _, cause := range e.Causes {
				collect(cause)
			}
			return
		}
		pointer := ""
		if _, unsure := e.ErrorKind.(*kind.PropertyNames); !unsure { // for these the library names another place
			for _, token := range e.InstanceLocation {
				pointer = member(pointer, token)
			}
		}
		p := Problem{Line: d.Line(pointer), Pointer: pointer, Message: message}
		if message == "" {
			p.Message = "is not what the schema asks for"
		}
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	collect(e)
	all.Sort()
	return all
}

// describe says what a value should have been, without saying what it is. It is empty where the causes say more.
func describe(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return fmt.Sprintf("must be %s, not %s", list(k.Want), k.Got)
	case *kind.Enum:
		return "must be " + list(k.Want)
	case *kind.Const:
		return fmt.Sprintf("must be %v", k.Want)
	case *kind.Format:
		return "must be a " + k.Want
	case *kind.Pattern:
		return "must match " + k.Want
	case *kind.Required:
		return "lacks " + quoted(k.Missing)
	case *kind.AdditionalProperties:
		return "has no member " + quoted(k.Properties)
	case *kind.PropertyNames:
		return "has a member of a name that is not allowed: " + quote(k.Property)
	case *kind.AdditionalItems:
		return "has too many elements"
	case *kind.DependentRequired:
		return fmt.Sprintf("with %s needs %s", quote(k.Prop), quoted(k.Missing))
	case *kind.UniqueItems:
		return fmt.Sprintf("has the same element twice, at %d and %d", k.Duplicates[0], k.Duplicates[1])
	case *kind.FalseSchema:
		return "must not be there"
	case *kind.AnyOf, *kind.OneOf:
		return "is none of what is allowed here"
	case *kind.Not:
		return "is what is not allowed here"
	case *kind.Contains, *kind.MinContains, *kind.MaxContains:
		return "has not the elements that it must have"
	}
	return describeBound(k)
}

// describeBound is describe for what is too much or too little.
func describeBound(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.MinLength:
		return fmt.Sprintf("must have at least %d characters", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %d characters", k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("must have at least %d elements", k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %d elements", k.Want)
	case *kind.MinProperties:
		return fmt.Sprintf("must have at least %d members", k.Want)
	case *kind.MaxProperties:
		return fmt.Sprintf("must have at most %d members", k.Want)
	case *kind.Minimum:
		return "must be at least " + k.Want.RatString()
	case *kind.Maximum:
		return "must be at most " + k.Want.RatString()
	case *kind.ExclusiveMinimum:
		return "must be more than " + k.Want.RatString()
	case *kind.ExclusiveMaximum:
		return "must be less than " + k.Want.RatString()
	case *kind.MultipleOf:
		return "must be a multiple of " + k.Want.RatString()
	}
	return ""
}

// list writes what is allowed.
func list[T any](allowed []T) string {
	words := make([]string, len(allowed))
	for i, word := range allowed {
		words[i] = fmt.Sprint(word)
	}
	if len(words) == 1 {
		return words[0]
	}
	return "one of " + strings.Join(words, ", ")
}

func quoted(names []string) string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = quote(name)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
