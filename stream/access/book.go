package access

import (
	"os"
	"path/filepath"
	"time"
)

// Book returns a function that says what the accounts are now, by their public keys: it may be called often.
// Tokens of the local user that were made before born are refused.
func (k *Keys) Book(born time.Time) func() (map[string]string, error) {
	var (
		known map[string]string
		size  int64
		at    time.Time
	)
	return func() (map[string]string, error) {
		info, err := os.Stat(filepath.Join(k.dir, RevokedName))
		var newSize int64
		var newAt time.Time
		if err == nil { // what is wrong with the file is said by who reads it
			newSize, newAt = info.Size(), info.ModTime()
		}
		if known != nil && newSize == size && newAt.Equal(at) {
			return known, nil
		}
		revoked, err := ReadRevocations(k.dir)
		if err != nil {
			return nil, err
		}
		accounts, err := k.Accounts(revoked, born)
		if err != nil {
			return nil, err
		}
		known, size, at = accounts, newSize, newAt
		return known, nil
	}
}
