package firewall

import (
	"context"
	"slices"
	"sync"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// planner joins the contents of feeds beside the Keeper, which goes on banning meanwhile: a million
// addresses take about 0.1 s.
type planner struct {
	notify chan struct{} // has a value when there is something new

	mu   sync.Mutex // guards the fields below
	news feedNews
	seq  uint64 // of what has come

	feeds *Feeds // owned by first, then by run
}

// feedNews is what has come since the last plan.
type feedNews struct {
	scopes   []Scope
	fresh    bool // scopes are new
	contents map[string]cidr.Ranges
	allow    *cidr.Ranges // nil: as it was
}

func newPlanner(largeAt int) *planner {
	return &planner{notify: make(chan struct{}, 1), feeds: NewFeeds(largeAt), news: feedNews{contents: map[string]cidr.Ranges{}}}
}

func (p *planner) tell(f func(*feedNews)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.news)
	p.seq++
	select {
	case p.notify <- struct{}{}:
	default:
	}
}

func (p *planner) setScopes(scopes []Scope) {
	p.tell(func(n *feedNews) { n.scopes, n.fresh = slices.Clone(scopes), true })
}

func (p *planner) replace(owner string, contents cidr.Ranges) {
	p.tell(func(n *feedNews) { n.contents[owner] = contents })
}

func (p *planner) setAllow(allow cidr.Ranges) {
	p.tell(func(n *feedNews) { n.allow = &allow })
}

// asked is the number of the plan that will hold all that has come.
func (p *planner) asked() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seq
}

// take takes what has come; without contents, those stay.
func (p *planner) take(contents bool) (news feedNews, seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	news = p.news
	p.news = feedNews{contents: map[string]cidr.Ranges{}}
	if !contents {
		p.news.contents = news.contents
		news.contents = nil
	}
	return news, p.seq
}

func (p *planner) learn(n feedNews) {
	if n.fresh {
		p.feeds.SetScopes(n.scopes)
	}
	if n.allow != nil {
		p.feeds.SetAllow(*n.allow)
	}
	for owner, contents := range n.contents {
		p.feeds.Replace(owner, contents)
	}
}

// first makes a plan without contents, which costs no time: what feeds there are is known by it.
func (p *planner) first() *FeedPlan {
	news, _ := p.take(false)
	p.learn(news)
	return p.feeds.Plan(0)
}

// run makes plans of what comes until ctx ends.
func (p *planner) run(ctx context.Context, out chan<- *FeedPlan) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.notify:
		}
		news, seq := p.take(true)
		p.learn(news)
		select {
		case <-ctx.Done():
			return
		case out <- p.feeds.Plan(seq):
		}
	}
}
