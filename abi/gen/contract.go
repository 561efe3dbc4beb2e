package main

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"

	"github.com/sallyport-dev/sallyport/abi"
)

// contract is what the templates see.
type contract struct {
	Version   int
	Module    string
	Fields    []field
	Functions []abi.Function
	enums     map[string][]enumerator // by their type, in the order of the source
	docs      map[string]string       // comments of types and of single constants, by name
	values    map[string]int64        // of all exported constants
}

// field is a field with the name of its constant.
type field struct {
	abi.Field
	Constant string
}

// enumerator is one constant of an enumeration.
type enumerator struct {
	Name  string // as in package abi
	Wire  string // as in records and SPEC.md, empty where only the number exists
	Value int64
	Doc   string // without a full stop; empty where the name says all
}

// readContract joins what package abi says when it runs with what only its source says.
func readContract(dir string) (*contract, error) {
	c := &contract{
		Version:   abi.Version,
		Module:    abi.ModulePolicy,
		Functions: abi.Functions(),
		enums:     map[string][]enumerator{},
		docs:      map[string]string{},
		values:    map[string]int64{},
	}
	if err := c.readSource(dir); err != nil {
		return nil, err
	}
	names := map[int64]string{}
	for _, e := range c.enums["FieldID"] {
		names[e.Value] = e.Name
	}
	for _, f := range abi.Fields() {
		name, ok := names[int64(f.ID)]
		if !ok {
			return nil, fmt.Errorf("field %s has no constant", f.Name)
		}
		c.Fields = append(c.Fields, field{Field: f, Constant: name})
	}
	return c, nil
}

// readSource parses and checks the package, so that iota and its kin are evaluated by the compiler's own rules.
func (c *contract) readSource(dir string) error {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return err
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	info := &types.Info{Defs: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: importer.ForCompiler(fset, "source", nil)}
	if _, err := config.Check("abi", fset, files, info); err != nil {
		return err
	}
	for _, f := range files {
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok {
				c.readDeclaration(g, info)
			}
		}
	}
	return nil
}

func (c *contract) readDeclaration(g *ast.GenDecl, info *types.Info) {
	for _, s := range g.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			c.docs[s.Name.Name] = oneLine(g.Doc)
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if object, ok := info.Defs[name].(*types.Const); ok && name.IsExported() {
					c.addConstant(object, s, g)
				}
			}
		}
	}
}

// addConstant adds a constant to the enumeration of its type. Constants without a type of the package are an
// enumeration by the first word of their names.
func (c *contract) addConstant(object *types.Const, s *ast.ValueSpec, g *ast.GenDecl) {
	value, exact := constant.Int64Val(constant.ToInt(object.Val()))
	if object.Val().Kind() != constant.Int || !exact {
		return
	}
	e := enumerator{Name: object.Name(), Value: value, Wire: wireName(object.Type(), value)}
	switch {
	case s.Comment != nil:
		e.Doc = strings.TrimSuffix(oneLine(s.Comment), ".")
	case s.Doc != nil:
		e.Doc = strings.TrimSuffix(oneLine(s.Doc), ".")
	case !g.Lparen.IsValid():
		c.docs[e.Name] = oneLine(g.Doc)
	}
	c.values[e.Name] = value
	kind := firstWord(e.Name)
	if named, ok := object.Type().(*types.Named); ok {
		kind = named.Obj().Name()
	}
	if strings.HasPrefix(e.Name, "Num") { // how many there are is no enumerator
		return
	}
	c.enums[kind] = append(c.enums[kind], e)
}

// wireName is what the type's own String says.
func wireName(t types.Type, value int64) string {
	named, ok := t.(*types.Named)
	if !ok {
		return ""
	}
	switch named.Obj().Name() {
	case "Dimension":
		return abi.Dimension(value).String()
	case "ErrorClass":
		return abi.ErrorClass(value).String()
	case "KeyState":
		return abi.KeyState(value).String()
	case "Hook":
		return abi.Hook(value).String()
	case "Limit":
		return abi.Limit(value).String()
	case "StepHealth":
		return abi.StepHealth(value).String()
	case "Period":
		return abi.Period(value).String()
	default:
		return ""
	}
}

func oneLine(g *ast.CommentGroup) string { return strings.Join(strings.Fields(g.Text()), " ") }

// firstWord is the first word of a name in mixed capitals.
func firstWord(name string) string {
	for i, r := range name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			return name[:i]
		}
	}
	return name
}
