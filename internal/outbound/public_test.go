package outbound

import (
	"errors"
	"testing"
)

func TestWhatAPublicMachineSendsElsewhereStaysPublic(t *testing.T) {
	for address, public := range map[string]bool{
		"8.8.8.8:443": true, "[2606:4700::1]:443": true, "127.0.0.1:80": false, "10.1.2.3:80": false, "192.168.1.1:80": false, "169.254.169.254:80": false,
		"[::1]:80": false, "[fd00::1]:80": false, "[fe80::1%eth0]:80": false, "[::ffff:127.0.0.1]:80": false, "0.0.0.0:80": false, "nonsense": false,
	} {
		if err := onlyPublic("tcp", address, nil); (err == nil) != public || err != nil && !errors.Is(err, ErrRedirect) {
			t.Errorf("%s: %v", address, err)
		}
	}
}
