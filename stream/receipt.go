package stream

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
)

// An Issuer makes the receipts of one run. A nil Issuer makes empty ones, those of a run without receipts.
//
// A receipt proves that a unit's message comes from somebody whom the unit was handed: it is in the unit's task, and
// whoever works on the unit copies it into what it publishes. It is a signature of the unit's name. So every worker can
// tell a message without the right one, which counts as none, and only who holds the run's Issuer can make one.
type Issuer struct{ key ed25519.PrivateKey }

// NewIssuer returns the issuer of a new run.
func NewIssuer() *Issuer {
	_, key, err := ed25519.GenerateKey(nil)
	return &Issuer{must(key, err)} // the system's random source never fails
}

// ParseIssuer is the inverse of Secret.
func ParseIssuer(secret []byte) (*Issuer, error) {
	if len(secret) != ed25519.SeedSize {
		return nil, fmt.Errorf("key of receipts: %d bytes, want %d", len(secret), ed25519.SeedSize)
	}
	return &Issuer{ed25519.NewKeyFromSeed(secret)}, nil
}

// Secret returns what makes the issuer. No worker may see it.
func (i *Issuer) Secret() []byte { return i.key.Seed() }

// Public returns what receipts are checked by.
func (i *Issuer) Public() string {
	return receiptText.EncodeToString(i.key[ed25519.SeedSize:]) // the public half
}

// Receipt returns the receipt of a unit.
func (i *Issuer) Receipt(u Unit) string {
	if i == nil {
		return ""
	}
	return receiptText.EncodeToString(ed25519.Sign(i.key, receiptOf(u)))
}

// Issued reports whether a receipt is the unit's, by the public half of its run's issuer. Where that is empty the run
// has no receipts, and every one is good.
func Issued(public string, u Unit, receipt string) bool {
	if public == "" {
		return true
	}
	key, err := receiptText.DecodeString(public)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return false
	}
	signature, err := receiptText.DecodeString(receipt)
	return err == nil && ed25519.Verify(key, receiptOf(u), signature)
}

// receiptText is how keys and receipts are written: as a bucket's key may be.
var receiptText = base64.RawURLEncoding.Strict()

// receiptOf returns what is signed for a unit.
func receiptOf(u Unit) []byte { return []byte(u.Subject("lcbq-receipt")) }
