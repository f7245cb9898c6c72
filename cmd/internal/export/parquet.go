package export

import (
	"os"
	"reflect"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/lcbq/lcbq/worker/lcb/result"
)

// A Row is a sample as a Parquet file holds it.
type Row struct {
	QuestionID   string  `parquet:"question_id,dict"`
	QuestionIdx  int32   `parquet:"question_idx"`
	Platform     string  `parquet:"platform,dict"`
	Difficulty   string  `parquet:"difficulty,dict"`
	ContestID    string  `parquet:"contest_id,dict"`
	ContestDate  string  `parquet:"contest_date,dict"` // ISO 8601
	Temperature  float64 `parquet:"temperature"`
	Index        int32   `parquet:"index"`
	Completion   string  `parquet:"completion"`
	Code         string  `parquet:"code"`
	Passed       bool    `parquet:"passed"`
	Verdict      string  `parquet:"verdict,dict"`
	ErrorCode    *int32  `parquet:"error_code,optional"`
	Test         *int32  `parquet:"test,optional"` // index of the first failing test
	Tokens       int32   `parquet:"tokens"`
	FinishReason string  `parquet:"finish_reason,dict"`
	LeftOut      string  `parquet:"left_out,dict"`    // fields of sampling that the server does not take
	Redrawn      string  `parquet:"redrawn,dict"`     // why completions before this one were lost
	AnsweredAs   string  `parquet:"answered_as,dict"` // model that the server says wrote it, where that is another
	CPUSeconds   float64 `parquet:"cpu_s"`
	Cached       bool    `parquet:"cached"`      // the program was run for another sample, whose time cpu_s is
	Slowdown     float64 `parquet:"slowdown"`    // of a program that ran beyond the time limit: how many times slower than it could the host ran it; 0 where nothing was measured
	AuditDraw    float64 `parquet:"audit_draw"`  // of a program beyond a soft limit, else 0; it was stopped if it is not below audit_share
	AuditShare   float64 `parquet:"audit_share"` // of the draws with which programs run on; 0 with audit_draw
	Generator    string  `parquet:"generator,dict"`
	Evaluator    string  `parquet:"evaluator,dict"`
	Detail       string  `parquet:"detail"`
}

// rowGroup bounds what the encoder holds: some tens of megabytes of programs.
const rowGroup = 10_000

func (w *writer) parquet() error {
	return w.create("samples.parquet", func(file *os.File) error {
		out := parquet.NewGenericWriter[Row](file, parquet.Compression(&zstd.Codec{}), parquet.MaxRowsPerRowGroup(rowGroup),
			parquet.KeyValueMetadata("lcbq.run", w.Summary.Run), parquet.KeyValueMetadata("lcbq.model", w.Summary.Model),
			parquet.KeyValueMetadata("lcbq.judge", w.Summary.Judge), parquet.KeyValueMetadata("lcbq.fingerprint", w.Summary.Fingerprint))
		fill := columns()
		for _, c := range w.Cells {
			q := &w.Questions[c.Question]
			row := Row{QuestionID: q.ID, QuestionIdx: int32(q.Index), Platform: q.Platform, Difficulty: q.Difficulty, ContestID: q.ContestID, ContestDate: q.ContestDate, Temperature: c.Temperature}
			err := w.samples(c, func(s *result.Sample) error {
				row.Passed, row.Verdict = s.Passed(), s.Verdict.String()
				fill(&row, s)
				_, err := out.Write([]Row{row})
				return err
			})
			if err != nil {
				return err
			}
		}
		return out.Close()
	})
}

// columns returns a function that copies a sample's fields to the columns of their
// names, except verdict, which a file holds as a word. A field of a sample without a
// column fails TestFieldsReachEveryFile.
func columns() func(*Row, *result.Sample) {
	type pair struct {
		column, field []int
		kind          reflect.Type // of the column
	}
	var pairs []pair
	fields := make(map[string]reflect.StructField)
	for _, f := range reflect.VisibleFields(reflect.TypeFor[result.Sample]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields[name] = f
	}
	for _, c := range reflect.VisibleFields(reflect.TypeFor[Row]()) {
		name, _, _ := strings.Cut(c.Tag.Get("parquet"), ",")
		if f, ok := fields[name]; ok && name != "verdict" {
			pairs = append(pairs, pair{c.Index, f.Index, c.Type})
		}
	}
	return func(row *Row, s *result.Sample) {
		to, from := reflect.ValueOf(row).Elem(), reflect.ValueOf(s).Elem()
		for _, p := range pairs {
			column, field := to.FieldByIndex(p.column), from.FieldByIndex(p.field)
			switch {
			case field.Kind() != reflect.Pointer:
				column.Set(field.Convert(p.kind))
			case field.IsNil():
				column.SetZero()
			default: // a value of its own: the row outlives the sample
				v := reflect.New(p.kind.Elem())
				v.Elem().Set(field.Elem().Convert(p.kind.Elem()))
				column.Set(v)
			}
		}
	}
}
