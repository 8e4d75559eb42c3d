// Command agent-aws keeps IP sets of AWS WAF in line with a list that agentd exports. It is a program of its own, so
// that the daemon links nothing of a cloud and has none of its keys.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"

	"github.com/palisade-agent/palisade/internal/export/waf"
	"github.com/palisade-agent/palisade/internal/feed"
	"github.com/palisade-agent/palisade/internal/outbound"
	"github.com/palisade-agent/palisade/internal/secret"
)

const usage = `agent-aws keeps IP sets of AWS WAF in line with a list that agentd exports.

Usage:
  agent-aws plan   --list FILE|URL --name NAME [options]   say what would be done
  agent-aws sync   --list FILE|URL --name NAME [options]   do it once
  agent-aws watch  --list FILE|URL --name NAME [options]   do it again and again
  agent-aws check  --name NAME [options]                   see whether AWS lets us
  agent-aws policy                                         the IAM policy that it needs
  agent-aws security-group                                 why security groups are not kept

Options:
  --list FILE|URL   a list of an [export NAME] with format = plain: its file, or its address over HTTP
  --token WHERE     for a URL: the token, as file:PATH, env:NAME or cred:NAME
  --ca FILE         for a URL: a certificate to trust
  --name NAME       of the sets: NAME-v4 and NAME-v6; more are NAME-v4-2 and so on
  --scope SCOPE     REGIONAL (the default) or CLOUDFRONT
  --region REGION   of AWS; for CLOUDFRONT always us-east-1
  --shards N        sets of each family, at most; each holds 10,000 entries (default 1)
  --create          make sets that are not there
  --allow-empty     let an empty list empty the sets
  --every TIME      for watch (default 60s, the least)
  --endpoint URL    instead of AWS, for tests
  --json            answers for programs

Keys of AWS are found as its own programs do: in the environment, in ~/.aws, or from the machine's role.
Exits with 0 if all is done, 1 if something went wrong, 2 if it was called wrongly.

Examples:
  agent-aws plan --list /var/lib/agentd/blocked.txt --name palisade
  agent-aws watch --list https://127.0.0.1:8899/aws.txt --token file:/etc/agentd/http.token --name palisade --create
`

const securityGroups = `Security groups of AWS can only allow: there is no rule in them that keeps an address out. A script that writes
addresses into one opens the way for them, or changes what may go out. So agent-aws does not touch them.

What keeps addresses out:
  - AWS WAF in front of CloudFront, a load balancer or an API: agent-aws sync, and in the web ACL a rule that blocks
    what is in the sets NAME-v4 and NAME-v6;
  - agentd on the instance itself, which drops before anything else sees the packet;
  - a network ACL, for a handful of networks: it has 20 rules for each direction, in order.
`

const policy = `{
  "Version": "2012-10-17",
  "Statement": [
    { "Effect": "Allow", "Action": ["wafv2:ListIPSets"], "Resource": "*" },
    { "Effect": "Allow", "Action": ["wafv2:GetIPSet", "wafv2:UpdateIPSet", "wafv2:CreateIPSet"], "Resource": "arn:aws:wafv2:*:*:*/ipset/*" }
  ]
}
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// arguments are those of the command line.
type arguments struct {
	command, list, token, ca, name, scope, region, endpoint string
	shards                                                  int
	create, mayEmpty, json                                  bool
	every                                                   time.Duration
}

// errUsage marks an error of the caller's, which exits with 2.
var errUsage = errors.New("wrong usage")

// leastEvery is how often AWS is asked at most: it lets an account write once a second, all its sets together.
const leastEvery = time.Minute

// run is main without the process.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	a, err := parse(args)
	if err == nil {
		err = a.run(ctx, stdout, stderr)
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return 0
	}
	fmt.Fprintf(stderr, "agent-aws: %s\n", outbound.Clean(err.Error(), 1000))
	if errors.Is(err, errUsage) {
		return 2
	}
	return 1
}

func parse(args []string) (a arguments, err error) {
	if len(args) == 0 || args[0] == "help" || args[0] == "--help" || args[0] == "-h" {
		return a, flag.ErrHelp
	}
	a.command = args[0]
	f := flag.NewFlagSet("agent-aws", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&a.list, "list", "", "")
	f.StringVar(&a.token, "token", "", "")
	f.StringVar(&a.ca, "ca", "", "")
	f.StringVar(&a.name, "name", "", "")
	f.StringVar(&a.scope, "scope", "REGIONAL", "")
	f.StringVar(&a.region, "region", "", "")
	f.StringVar(&a.endpoint, "endpoint", "", "")
	f.IntVar(&a.shards, "shards", 1, "")
	f.BoolVar(&a.create, "create", false, "")
	f.BoolVar(&a.mayEmpty, "allow-empty", false, "")
	f.BoolVar(&a.json, "json", false, "")
	f.DurationVar(&a.every, "every", leastEvery, "")
	if err := f.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return a, err
		}
		return a, fmt.Errorf("%w: %w (see agent-aws --help)", errUsage, err)
	}
	if f.NArg() > 0 {
		return a, fmt.Errorf("%w: %q belongs to nothing (see agent-aws --help)", errUsage, f.Arg(0))
	}
	return a, a.check()
}

func (a *arguments) check() error {
	a.scope = strings.ToUpper(a.scope)
	if a.scope == "CLOUDFRONT" {
		a.region = "us-east-1" // where those sets live
	}
	wrong := func(text string) error { return fmt.Errorf("%w: %s (see agent-aws --help)", errUsage, text) }
	switch a.command {
	case "policy", "security-group":
		return nil
	case "plan", "sync", "watch":
		if a.list == "" {
			return wrong("--list is missing")
		}
	case "check":
	default:
		return wrong(fmt.Sprintf("there is no command %q: there are plan, sync, watch, check, policy and security-group", a.command))
	}
	switch {
	case a.name == "":
		return wrong("--name is missing")
	case strings.Trim(a.name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" || len(a.name) > 100:
		return wrong("--name is of letters, digits, - and _, 100 at most")
	case a.scope != "REGIONAL" && a.scope != "CLOUDFRONT":
		return wrong("--scope is REGIONAL or CLOUDFRONT")
	case a.shards < 1 || a.shards > 100:
		return wrong("--shards is 1 to 100")
	case a.every < leastEvery:
		return wrong("--every is 60s or more")
	}
	return nil
}

func (a *arguments) run(ctx context.Context, stdout, stderr io.Writer) error {
	switch a.command {
	case "policy":
		_, err := io.WriteString(stdout, policy)
		return err
	case "security-group":
		fmt.Fprint(stdout, securityGroups)
		return errors.New("security groups are not kept: they cannot deny")
	}
	conf, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("read the settings of AWS: %w", err)
	}
	if a.region != "" {
		conf.Region = a.region
	}
	if conf.Region == "" {
		return fmt.Errorf("%w: it is not known which region: write --region, or set AWS_REGION", errUsage)
	}
	client := wafv2.NewFromConfig(conf, func(o *wafv2.Options) {
		if a.endpoint != "" {
			o.BaseEndpoint = aws.String(a.endpoint)
		}
	})
	keeper := waf.New(client, waf.Options{Name: a.name, Scope: types.Scope(a.scope), Create: a.create, Shards: a.shards, MayEmpty: a.mayEmpty})
	if a.command == "check" {
		_, err := client.ListIPSets(ctx, &wafv2.ListIPSetsInput{Scope: types.Scope(a.scope), Limit: aws.Int32(1)})
		if err != nil {
			return fmt.Errorf("AWS does not let us (agent-aws policy tells what is needed): %w", err)
		}
		_, err = fmt.Fprintf(stdout, "AWS lets us read IP sets in %s.\n", conf.Region)
		return err
	}
	if a.command != "watch" {
		return a.once(ctx, keeper, stdout)
	}
	for {
		if err := a.once(ctx, keeper, stdout); err != nil && ctx.Err() == nil {
			fmt.Fprintf(stderr, "agent-aws: %s\n", outbound.Clean(err.Error(), 1000))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(a.every):
		}
	}
}

func (a *arguments) once(ctx context.Context, k *waf.Keeper, stdout io.Writer) error {
	list, err := a.read(ctx)
	if err != nil {
		return err
	}
	do := k.Sync
	if a.command == "plan" {
		do = k.Plan
	}
	r, err := do(ctx, list)
	a.tell(stdout, r)
	if r.Cut > 0 {
		err = errors.Join(err, fmt.Errorf("%d entries are left out: a set holds %d; raise --shards, or max of the export", r.Cut, waf.MaxEntries))
	}
	return err
}

func (a *arguments) tell(w io.Writer, r waf.Report) {
	if a.json {
		_ = json.NewEncoder(w).Encode(r) // who does not listen is not told
		return
	}
	verb := "would be"
	if a.command != "plan" {
		verb = "was"
	}
	for _, c := range r.Changes {
		what := "changed"
		if c.Create {
			what = "made"
		}
		if c.Err != "" {
			fmt.Fprintf(w, "%s: not %s: %s\n", c.Set, what, outbound.Clean(c.Err, 300))
			continue
		}
		fmt.Fprintf(w, "%s: %s %s: %d added, %d removed, %d in all\n", c.Set, verb, what, c.Add, c.Remove, c.Holds)
	}
	if len(r.Changes) == 0 {
		fmt.Fprintf(w, "%d sets are as they should be\n", r.Same)
	}
}

// read reads the list.
func (a *arguments) read(ctx context.Context) (all []netip.Prefix, err error) {
	var body io.Reader
	if strings.Contains(a.list, "://") {
		client, err := outbound.New(outbound.Options{UserAgent: "palisade agent-aws", CAFile: a.ca})
		if err != nil {
			return nil, err
		}
		defer client.Close()
		r := outbound.Request{URL: a.list, Limit: 64 << 20}
		if a.token != "" {
			token, err := secret.Parse(a.token).Read()
			if err != nil {
				return nil, err
			}
			r.Key = outbound.HeaderKey("Authorization", "Bearer "+token)
		}
		resp, err := client.Do(ctx, r)
		if err != nil {
			return nil, err
		}
		if !resp.OK() {
			return nil, fmt.Errorf("read the list: %w", &feed.StatusError{Status: resp.Status, Text: outbound.Clean(string(resp.Body), 200)})
		}
		body = strings.NewReader(string(resp.Body))
	} else {
		f, err := os.Open(a.list)
		if err != nil {
			return nil, fmt.Errorf("read the list: %w", err)
		}
		defer f.Close()
		body = io.LimitReader(f, 64<<20)
	}
	_, err = feed.Parse(body, feed.Format{Kind: "plain"}, feed.Limits{Entries: feed.DefaultEntries}, func(e feed.Entry) { all = append(all, e.Prefixes()...) })
	if errors.Is(err, feed.ErrEmpty) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the list: %w", err)
	}
	return all, nil
}
