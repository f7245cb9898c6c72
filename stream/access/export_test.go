package access

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// SetClock has certificates made by another clock.
func (k *Keys) SetClock(now func() time.Time) { k.clock = now }

// MadeBy returns a token as a machine makes it whose clock is wrong by skew: the library that signs goes by the
// clock of this one.
func (k *Keys) MadeBy(t *testing.T, creds []byte, skew time.Duration) []byte {
	t.Helper()
	token, err := ParseToken(creds)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := nkeys.ParseDecoratedJWT(creds)
	if err != nil {
		t.Fatal(err)
	}
	user, err := nkeys.ParseDecoratedUserNKey(creds)
	if err != nil {
		t.Fatal(err)
	}
	part := strings.Split(signed, ".")
	claims := make(map[string]any)
	text, err := base64.RawURLEncoding.DecodeString(part[1])
	if err == nil {
		err = json.Unmarshal(text, &claims)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"iat", "exp"} {
		if was, ok := claims[at].(float64); ok {
			claims[at] = int64(was) + int64(skew/time.Second)
		}
	}
	if text, err = json.Marshal(claims); err != nil {
		t.Fatal(err)
	}
	payload := part[0] + "." + base64.RawURLEncoding.EncodeToString(text)
	signature, err := k.accounts[token.Role.account()].Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	out, err := jwt.FormatUserConfig(payload+"."+base64.RawURLEncoding.EncodeToString(signature), seed)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
