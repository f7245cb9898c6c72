package stream_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lcbq/lcbq/stream"
)

func TestTemperatureSpellings(t *testing.T) {
	t.Parallel()
	for text, token := range map[string]string{
		"0.1": "t0_1", "2.0": "t2_0", "2": "t2_0", "0.25": "t0_25", "0.700": "t0_7", "1.005": "t1_005", "0": "t0_0", "5": "t5_0",
	} {
		got, err := stream.ParseTemperature(text)
		if err != nil || got.Token() != token {
			t.Errorf("ParseTemperature(%q).Token() = %s, %v, want %s", text, got.Token(), err, token)
		}
	}
	for _, text := range []string{"", "-0.1", "5.001", "6", "0.1234", "x", "1.x", "1e2", "NaN"} {
		if got, err := stream.ParseTemperature(text); err == nil {
			t.Errorf("ParseTemperature(%q) = %v, want an error", text, got)
		}
	}
}

// anyUnit draws units whose every field is at its limits too.
func anyUnit(t *rapid.T) stream.Unit {
	return stream.Unit{
		Cell: stream.Cell{
			Run:         rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9_-]{0,63}`).Draw(t, "run"),
			Question:    rapid.IntRange(0, 1_000_000).Draw(t, "question"),
			Temperature: stream.Temperature(rapid.Int32Range(0, int32(stream.MaxTemperature)).Draw(t, "temperature")),
		},
		Index: rapid.IntRange(0, 1_000_000).Draw(t, "unit"),
	}
}

func TestSubjectsRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		u := anyUnit(t)
		for _, stage := range stream.Stages {
			gotStage, got, err := stream.ParseSubject(u.Subject(stage))
			if err != nil || got != u || gotStage != stage {
				t.Fatalf("ParseSubject(%q) = %v, %+v, %v, want %+v", u.Subject(stage), gotStage, got, err, u)
			}
		}
		c, err := stream.ParseCell(u.Key())
		if err != nil || c != u.Cell {
			t.Fatalf("ParseCell(%q) = %+v, %v, want %+v", u.Key(), c, err, u.Cell)
		}
	})
}

func TestParseSubjectRefusesOtherSpellings(t *testing.T) {
	t.Parallel()
	for _, subject := range []string{
		"generate.r1.q012.t0_7.u0042", // leading zero
		"generate.r1.q12.t0_70.u0042", // not the shortest
		"generate.r1.q12.t0_7.u42",    // not four digits
		"generate.r1.q12.t0_7.u-001",
		"generate.r1.q12.t0_7",
		"generate.r1.q12.t0_7.u0042.x",
		"combine.r 1.q12.t0_7.u0042",
		"deliver.r1.q12.t0_7.u0042",
		"generate.r1.12.t0_7.u0042",
		"generate.r1.q12.0_7.u0042",
		"",
	} {
		if _, u, err := stream.ParseSubject(subject); err == nil {
			t.Errorf("ParseSubject(%q) = %+v, want an error", subject, u)
		}
	}
}

func TestVerdictsAreTheContract(t *testing.T) {
	t.Parallel()
	var names []string
	for _, v := range stream.Verdicts() {
		names = append(names, v.String())
		var back stream.Verdict
		if err := back.UnmarshalText([]byte(v.String())); err != nil || back != v {
			t.Errorf("UnmarshalText(%q) = %v, %v", v, back, err)
		}
		if v.Scored() == (v == stream.JudgeFault) {
			t.Errorf("%v.Scored() = %v", v, v.Scored())
		}
	}
	want := "passed wrong_answer time_limit memory_limit output_limit runtime_error compile_error no_code truncated refused judge_fault"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("Verdicts() = %s, want %s", got, want)
	}
	if _, err := json.Marshal(stream.Judgement{}); err == nil {
		t.Error("a judgement without a verdict was encoded")
	}
	if stream.Verdict(0).Scored() {
		t.Error("the zero verdict counts")
	}
}

func TestEncodeRoundTrips(t *testing.T) {
	t.Parallel()
	code := -3
	small := stream.Scored{
		Batch:       stream.Batch{Unit: stream.Unit{Cell: stream.Cell{Run: "r", Temperature: 700}}, Samples: []stream.Sample{{Completion: "<x>&\u2028", Tokens: 3}}},
		Judgements:  []stream.Judgement{{Verdict: stream.TimeLimit, ErrorCode: &code}},
		Fingerprint: "f",
	}
	large := small
	large.Samples = []stream.Sample{{Completion: strings.Repeat("print(1)\n", 10_000)}}
	for _, want := range []stream.Scored{small, large} {
		body, err := stream.Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		var got stream.Scored
		if err := stream.Decode(body, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Decode(Encode(v)) = %v, want v", err)
		}
	}
	body, err := stream.Encode(large)
	if err != nil || len(body) > 2000 {
		t.Errorf("Encode of 90 kB of one line = %d bytes, %v, want it compressed", len(body), err)
	}
}

func TestDecodeCallsRubbishPoison(t *testing.T) {
	t.Parallel()
	large, err := stream.Encode(stream.Batch{Samples: []stream.Sample{{Completion: strings.Repeat("x", 9000)}}})
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 100)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	for name, body := range map[string][]byte{
		"empty": nil, "text": []byte("hello"), "cut": large[:len(large)/2], "frame of noise": append(large[:4:4], noise...), "wrong type": []byte(`{"samples":3}`),
	} {
		if err := stream.Decode(body, new(stream.Batch)); !errors.Is(err, stream.ErrPoison) {
			t.Errorf("Decode of %s = %v, want ErrPoison", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	body, err := stream.Encode(stream.Batch{Samples: []stream.Sample{{Completion: strings.Repeat("x", 9000)}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`{"samples":[{"index":0}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var b stream.Batch
		if err := stream.Decode(body, &b); err != nil && !errors.Is(err, stream.ErrPoison) {
			t.Errorf("Decode = %v, want ErrPoison", err)
		}
	})
}
