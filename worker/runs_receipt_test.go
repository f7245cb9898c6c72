package worker_test

import (
	"testing"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/streamtest"
	"github.com/lcbq/lcbq/worker"
)

// TestReceiptsOfARunMadeAnew: a worker that knows the manifest of a run which was withdrawn and made again takes the receipts
// of the new one, and those of nobody else.
func TestReceiptsOfARunMadeAnew(t *testing.T) {
	t.Parallel()
	env := streamtest.New(t)
	m := submitRun(t, env, "r1", 1)
	runs := &worker.Runs{Store: env.Store}
	known, err := runs.Run(t.Context(), "r1")
	if err != nil {
		t.Fatal(err)
	}
	m, revision, err := env.Store.Run(t.Context(), m.ID)
	if err == nil {
		err = env.Store.GiveReceipts(t.Context(), m)
	}
	if err == nil {
		_, err = env.Store.PutRun(t.Context(), m, revision)
	}
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := env.Store.Issuer(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	u := stream.Unit{Cell: stream.Cell{Run: "r1", Temperature: 100}}
	if ok, err := runs.Issued(t.Context(), known, u, issuer.Receipt(u)); !ok || err != nil {
		t.Errorf("Issued of the new run's receipt = %v, %v", ok, err)
	}
	if ok, err := runs.Issued(t.Context(), known, u, stream.NewIssuer().Receipt(u)); ok || err != nil {
		t.Errorf("Issued of nobody's receipt = %v, %v", ok, err)
	}
}
