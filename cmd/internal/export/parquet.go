package export

import (
	"os"

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
	CPUSeconds   float64 `parquet:"cpu_s"`
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
		for _, c := range w.Cells {
			q := &w.Questions[c.Question]
			err := w.samples(c, func(s *result.Sample) error {
				_, err := out.Write([]Row{{
					QuestionID: q.ID, QuestionIdx: int32(q.Index), Platform: q.Platform, Difficulty: q.Difficulty, Temperature: c.Temperature,
					Index: int32(s.Index), Completion: s.Completion, Code: s.Code, Passed: s.Passed, Verdict: string(s.Verdict),
					ErrorCode: narrow(s.ErrorCode), Test: narrow(s.Test), Tokens: int32(s.Tokens), FinishReason: s.FinishReason,
					CPUSeconds: s.CPUSeconds, Generator: s.Generator, Evaluator: s.Evaluator, Detail: s.Detail,
				}})
				return err
			})
			if err != nil {
				return err
			}
		}
		return out.Close()
	})
}

func narrow(n *int) *int32 {
	if n == nil {
		return nil
	}
	out := int32(*n)
	return &out
}
