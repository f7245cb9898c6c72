package stream_test

import (
	"strings"
	"testing"

	"github.com/lcbq/lcbq/stream"
)

// TestReceipts: a receipt is good for its unit of its run alone, by the key of its issuer alone.
func TestReceipts(t *testing.T) {
	t.Parallel()
	unit := stream.Unit{Cell: stream.Cell{Run: "r1", Question: 3, Temperature: 700}, Index: 12}
	issuer, other := stream.NewIssuer(), stream.NewIssuer()
	read, err := stream.ParseIssuer(issuer.Secret())
	if err != nil || read.Public() != issuer.Public() || read.Receipt(unit) != issuer.Receipt(unit) {
		t.Errorf("the issuer that was read makes other receipts, %v", err)
	}
	if _, err := stream.ParseIssuer(issuer.Secret()[1:]); err == nil {
		t.Error("ParseIssuer takes a secret that is too short")
	}
	if strings.Trim(issuer.Public(), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
		t.Errorf("%q is no key of a bucket", issuer.Public())
	}
	next, run, question, temperature := unit, unit, unit, unit
	next.Index++
	run.Run = "r2"
	question.Question++
	temperature.Temperature = 800
	good := issuer.Receipt(unit)
	for _, tt := range []struct {
		name    string
		public  string
		unit    stream.Unit
		receipt string
		want    bool
	}{
		{"its own", issuer.Public(), unit, good, true},
		{"none", issuer.Public(), unit, "", false},
		{"of another unit", issuer.Public(), next, good, false},
		{"of another run", issuer.Public(), run, good, false},
		{"of another question", issuer.Public(), question, good, false},
		{"of another temperature", issuer.Public(), temperature, good, false},
		{"by another key", issuer.Public(), unit, other.Receipt(unit), false},
		{"changed", issuer.Public(), unit, "AAAA" + good[4:], false},
		{"longer", issuer.Public(), unit, good + "AA", false},
		{"no text", issuer.Public(), unit, "!" + good[1:], false},
		{"a key that is none", "AAAA", unit, good, false},
		{"a run without receipts", "", unit, "", true},
		{"a run without receipts that gets one", "", unit, good, true},
	} {
		if got := stream.Issued(tt.public, tt.unit, tt.receipt); got != tt.want {
			t.Errorf("%s: Issued = %v, want %v", tt.name, got, tt.want)
		}
	}
	if none := (*stream.Issuer)(nil).Receipt(unit); none != "" {
		t.Errorf("an issuer of a run without receipts gives %q", none)
	}
}

// BenchmarkReceipt is what a unit costs: to make its receipt, and to check it once.
func BenchmarkReceipt(b *testing.B) {
	unit := stream.Unit{Cell: stream.Cell{Run: "r1", Question: 3, Temperature: 700}, Index: 12}
	issuer := stream.NewIssuer()
	receipt := issuer.Receipt(unit)
	public := issuer.Public()
	b.Run("make", func(b *testing.B) {
		for b.Loop() {
			issuer.Receipt(unit)
		}
	})
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			if !stream.Issued(public, unit, receipt) {
				b.Fatal("it is not good")
			}
		}
	})
}
