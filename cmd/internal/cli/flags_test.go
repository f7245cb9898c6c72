package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// A field is a struct's, by the names of both.
type field struct{ of, name string }

// TestEveryFlagIsRead walks every flag of every verb by kong's model and wants the field that it
// fills selected in what the verb's Run reaches. What a flag is checked for does not count: a
// setting that is in range and has no effect is what the test is there to find.
func TestEveryFlagIsRead(t *testing.T) {
	t.Parallel()
	code := readCode(t)
	var v verbs
	p, err := newParser(&v, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	flags := 0
	for _, leaf := range p.Model.Leaves(false) {
		owners := map[any]field{}
		fieldsOf(leaf.Target, owners)
		verb := leaf.Target.Type().Name()
		read := code.reads(verb + ".Run")
		for _, value := range append(valuesOf(leaf.Flags), leaf.Positional...) {
			f, ok := owners[value.Target.Addr().Interface()]
			if !ok {
				t.Errorf("lcbq %s: --%s fills no field of %s", verbOf(leaf), value.Name, verb)
				continue
			}
			flags++
			if !read[f] {
				t.Errorf("lcbq %s has --%s, and nothing that %s.Run reaches reads %s.%s", verbOf(leaf), value.Name, verb, f.of, f.name)
			}
		}
	}
	if flags < 150 {
		t.Errorf("%d flags were looked at, want those of all verbs", flags)
	}
}

func valuesOf(flags []*kong.Flag) []*kong.Value {
	var out []*kong.Value
	for _, f := range flags {
		if f.Name != "help" {
			out = append(out, f.Value)
		}
	}
	return out
}

// fieldsOf names the fields of a struct and of those embedded in it by their addresses.
func fieldsOf(v reflect.Value, out map[any]field) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			fieldsOf(v.Field(i), out)
		} else if f.IsExported() {
			out[v.Field(i).Addr().Interface()] = field{v.Type().Name(), f.Name}
		}
	}
}

// Code is what the functions of this package and of config select and call.
type code struct {
	selects map[string][]field
	calls   map[string][]string
}

// reads returns the fields that are selected in a function and in all that it calls.
func (c *code) reads(from string) map[field]bool {
	read, seen := map[field]bool{}, map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		if seen[name] || strings.HasSuffix(name, ".Check") {
			return
		}
		seen[name] = true
		for _, f := range c.selects[name] {
			read[f] = true
		}
		for _, callee := range c.calls[name] {
			visit(callee)
		}
	}
	visit(from)
	return read
}

// lenient imports config from its source; all other packages are empty, and what is selected of
// them is no field of a verb.
type lenient struct {
	set  *token.FileSet
	info *types.Info
	all  map[string]*types.Package
	code *code
}

func (l *lenient) Import(path string) (*types.Package, error) {
	if p := l.all[path]; p != nil {
		return p, nil
	}
	l.all[path] = types.NewPackage(path, filepath.Base(path))
	l.all[path].MarkComplete()
	if strings.HasSuffix(path, "/lcbq/config") {
		l.all[path] = l.check(path, filepath.Join("..", "..", "..", "config"))
	}
	return l.all[path], nil
}

// check type-checks the package of a folder as far as it can and notes what its functions do.
func (l *lenient) check(path, dir string) *types.Package {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		panic(err) // the pattern is fixed
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			panic(err)
		}
		f, err := parser.ParseFile(l.set, name, text, 0)
		if err != nil {
			panic(err) // this package compiles
		}
		files = append(files, f)
	}
	cfg := types.Config{Importer: l, Error: func(error) {}}
	pkg, _ := cfg.Check(path, l.set, files, l.info) // what is selected of empty packages is an error
	for _, f := range files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				l.note(fn)
			}
		}
	}
	return pkg
}

// note takes down what a function selects and which functions it names.
func (l *lenient) note(fn *ast.FuncDecl) {
	name := nameOf(l.info.Defs[fn.Name])
	written := map[ast.Expr]bool{}
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, left := range n.Lhs {
				written[left] = true
			}
		case *ast.SelectorExpr:
			if s := l.info.Selections[n]; s != nil && s.Kind() == types.FieldVal && !written[n] {
				l.code.selects[name] = append(l.code.selects[name], fieldAt(s))
			}
		case *ast.Ident:
			if callee, ok := l.info.Uses[n].(*types.Func); ok {
				l.code.calls[name] = append(l.code.calls[name], nameOf(callee))
			}
		}
		return true
	})
}

// fieldAt returns the field that a selection ends at, with the struct that declares it.
func fieldAt(s *types.Selection) field {
	typ, of := s.Recv(), ""
	for _, i := range s.Index() {
		if p, ok := typ.Underlying().(*types.Pointer); ok {
			typ = p.Elem()
		}
		if named, ok := typ.(*types.Named); ok {
			of = named.Obj().Name()
		}
		st, ok := typ.Underlying().(*types.Struct)
		if !ok {
			return field{}
		}
		typ = st.Field(i).Type()
	}
	return field{of, s.Obj().Name()}
}

// nameOf names a function, a method with its receiver's type.
func nameOf(o types.Object) string {
	f, ok := o.(*types.Func)
	if !ok {
		return ""
	}
	recv := f.Signature().Recv()
	if recv == nil {
		return f.Name()
	}
	typ := recv.Type()
	if p, ok := typ.(*types.Pointer); ok {
		typ = p.Elem()
	}
	if named, ok := typ.(*types.Named); ok {
		return named.Obj().Name() + "." + f.Name()
	}
	return f.Name()
}

func readCode(t *testing.T) *code {
	t.Helper()
	c := &code{selects: map[string][]field{}, calls: map[string][]string{}}
	l := &lenient{
		set: token.NewFileSet(), all: map[string]*types.Package{}, code: c,
		info: &types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{}},
	}
	l.check("github.com/lcbq/lcbq/cmd/internal/cli", ".")
	return c
}

// TestOrderOfSettings wants a flag before a variable, a variable before the file, and the file
// before the default.
func TestOrderOfSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lcbq.toml")
	if err := os.WriteFile(path, []byte("n = 2\nunit-size = 2\ntop-k = 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LCBQ_UNIT_SIZE", "3")
	t.Setenv("LCBQ_TOP_K", "3")
	var v verbs
	p, err := newParser(&v, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parse(p, []string{"run", "--config", path, "--top-k", "4"}); err != nil {
		t.Fatal(err)
	}
	if r := v.Run; r.N != 2 || r.UnitSize != 3 || r.TopK != 4 || r.MaxTokens != 500 {
		t.Errorf("n = %d, unit-size = %d, top-k = %d, max-tokens = %d; want 2 of the file, 3 of the variable, 4 of the flag, the default 500", r.N, r.UnitSize, r.TopK, r.MaxTokens)
	}
}

// TestEveryVerbHasExamples wants each verb's help to show command lines that can be read, and
// its exit statuses.
func TestEveryVerbHasExamples(t *testing.T) {
	t.Parallel()
	var v verbs
	p, err := newParser(&v, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range p.Model.Leaves(false) {
		verb := verbOf(leaf)
		if len(examples[verb]) == 0 {
			t.Errorf("lcbq %s has no example", verb)
		}
		for _, e := range examples[verb] {
			words, _, _ := strings.Cut(e, "#")
			if !strings.Contains(e, "lcbq ") || !strings.Contains(e, verb) {
				t.Errorf("%q is no example of lcbq %s", e, verb)
			}
			words, _, _ = strings.Cut(words, " -- ") // what comes after it are no flags of ours
			for _, word := range strings.Fields(words)[1:] {
				if name, _, _ := strings.Cut(word, "="); strings.HasPrefix(name, "--") {
					if err := strangeFlag(p.Model, leaf, strings.TrimPrefix(name, "--")); err != nil {
						t.Errorf("%q: %v", e, err)
					}
				}
			}
		}
		if !strings.Contains(leaf.Detail, "Exit status") {
			t.Errorf("lcbq %s does not tell its exit statuses", verb)
		}
	}
}

// TestNegativeValues wants a number below zero to be a flag's value where it stands alone, so that --end -1 means
// what the help says and others are refused for what they are.
func TestNegativeValues(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"run", "--end", "-1", "--n", "-2"}, {"run", "--end=-1", "--n=-2"}, {"run", "--json", "--end", "-1", "--n", "-2"},
	} {
		var v verbs
		p, err := newParser(&v, io.Discard, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parse(p, args); err != nil || v.Run.End != -1 || v.Run.N != -2 {
			t.Errorf("parse %q: end %d, n %d, %v; want -1, -2", args, v.Run.End, v.Run.N, err)
		}
	}
	for _, args := range [][]string{{"run", "--json", "-1"}, {"run", "--end", "-n", "2"}, {"run", "-1"}, {"run", "--", "--end", "-1"}} {
		var v verbs
		p, err := newParser(&v, io.Discard, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parse(p, args); err == nil {
			t.Errorf("parse %q is accepted", args)
		}
	}
}

// TestDurationsInLogs wants the log for machines to say times as people do.
func TestDurationsInLogs(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	slog.New(newJSON(&out, slog.LevelInfo)).With("most", time.Minute).Info("waiting", "idle", 5*time.Second, "n", 5)
	if !strings.Contains(out.String(), `"most":"1m0s","idle":"5s","n":5`) {
		t.Errorf("logged %s", out.String())
	}
}

// TestSubmitKeepsWhatRunTakes wants the run.toml of a submitted run to be one that 'lcbq run' takes: that is how it is
// gone on with where its server is no more, and how it is repeated.
func TestSubmitKeepsWhatRunTakes(t *testing.T) {
	t.Parallel()
	var v verbs
	p, err := newParser(&v, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parse(p, []string{"submit", "--n", "4", "--store-dir", "s"}); err != nil {
		t.Fatal(err)
	}
	kept, err := v.Submit.kept()
	if err != nil || kept.N != 4 || kept.StoreDir != v.Submit.StoreDir || kept.StoreDir == "" {
		t.Errorf("n %d, store %q, %v; want what submit was given", kept.N, kept.StoreDir, err)
	}
	if err := kept.Check(); err != nil {
		t.Errorf("run would refuse it: %v", err)
	}
}
