// Package filters holds the stock filter definitions: for each service, what its log lines say when
// somebody fails to log in or probes it.
//
// The files are in fail2ban's syntax and mean the same under fail2ban itself. They serve as the files
// of filter.d where a configuration has none of the same name. Each is described by the annotated
// lines of the same name in testdata/logs.
package filters

import "embed"

// FS holds the definitions at its root: sshd.conf, common.conf and so on.
//
//go:embed *.conf
var FS embed.FS
