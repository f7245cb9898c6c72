package cli

import "testing"

func TestAnyLocal(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]bool{
		"http://127.0.0.1:8000/v1": true, "http://localhost:8000/v1": true, "http://[::1]:1": true, "http://gpu:8000/v1": false, "https://api.example.org/v1": false,
		"http://10.0.0.1:8000": false, "://": false,
	} {
		if got := anyLocal([]string{"http://gpu", endpoint}); got != want {
			t.Errorf("anyLocal(%q) = %t", endpoint, got)
		}
	}
}
