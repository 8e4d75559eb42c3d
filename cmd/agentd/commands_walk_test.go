package main

// walk is every command of fail2ban's protocol: as it should be, with words missing, wrong, or of a jail that
// is not there. DIR is the configuration's folder.
const walk = `
ping
ping 1
echo a b
echo
server-status
sleep 0
sleep x
sleep
status
status j1
status j1 basic
status j1 short
status j1 nonsense
status j1 a b
status nojail
banned
banned 192.0.2.1
banned 192.0.2.1 192.0.2.2
banned nonsense
unban
unban 192.0.2.99
unban --all
nonsense
get
set
get j1
set j1
get j1 nonsense
set j1 nonsense x
get nojail bantime
set nojail bantime 5
get loglevel
set loglevel debug
get loglevel
set loglevel FOO
set loglevel
set loglevel INFO
get logtarget
set logtarget
set logtarget DIR/none/x.log
get logtarget
set logtarget DIR/other.log
flushlogs
set logtarget STDERR
flushlogs
set logtarget DIR/f2b.log
get syslogsocket
set syslogsocket
set syslogsocket DIR/log
set syslogsocket auto
get thread
set thread 5
set thread
get dbfile
set dbfile DIR/other.sqlite
set dbfile DIR/f2b.sqlite
set dbfile
get dbpurgeage
set dbpurgeage 2d
get dbpurgeage
set dbpurgeage x
set dbpurgeage
set dbpurgeage 86400
get dbmaxmatches
set dbmaxmatches 5
get dbmaxmatches
set dbmaxmatches x
set dbmaxmatches 10
set allowipv6 auto
set allowipv6 yes
set allowipv6
get allowipv6
get j1 bantime
set j1 bantime 10m
set j1 bantime -1
get j1 bantime
set j1 bantime 1d 2h
set j1 bantime x
set j1 bantime
set j1 bantime 600
get j1 findtime
set j1 findtime 1h
get j1 findtime
set j1 findtime x
set j1 findtime
set j1 findtime 600
get j1 maxretry
set j1 maxretry 5
get j1 maxretry
set j1 maxretry x
set j1 maxretry
set j1 maxretry 3
get j1 maxmatches
set j1 maxmatches 3
get j1 maxmatches
set j1 maxmatches x
set j1 maxmatches
get j1 maxlines
set j1 maxlines 3
get j1 maxlines
set j1 maxlines 0
set j1 maxlines x
set j1 maxlines
set j1 maxlines 1
get j1 usedns
set j1 usedns WARN
set j1 usedns raw
set j1 usedns bogus
set j1 usedns
get j1 usedns
get j1 logencoding
set j1 logencoding utf-8
set j1 logencoding latin1
get j1 logencoding
set j1 logencoding bogus
set j1 logencoding
set j1 logencoding auto
get j1 logencoding
get j1 logtimezone
set j1 logtimezone UTC+0200
get j1 logtimezone
set j1 logtimezone foo
set j1 logtimezone
set j1 logtimezone UTC
get j1 datepattern
set j1 datepattern '%Y-%m-%d %H:%M:%S'
get j1 datepattern
set j1 datepattern '{^LN-BEG}EPOCH'
set j1 datepattern Epoch
set j1 datepattern TAI64N
set j1 datepattern %Y
set j1 datepattern '{^LN-BEG}'
set j1 datepattern '{NONE}'
set j1 datepattern
set j1 datepattern '{DEFAULT}'
get j1 datepattern
get j1 ignoreself
set j1 ignoreself true
get j1 ignoreself
set j1 ignoreself no
set j1 ignoreself x
set j1 ignoreself
get j1 ignoreip
set j1 addignoreip 192.0.2.77
set j1 addignoreip 192.0.2.77
set j1 addignoreip 10.0.0.0/8 host.example
set j1 delignoreip 192.0.2.77
set j1 delignoreip 192.0.2.200
set j1 delignoreip
set j1 addignoreip
set j1 addignoreip 2001:DB8::0/32
set j1 addignoreip 10.1.2.3/255.0.0.0
set j1 delignoreip 10.0.0.0/8
set j1 addignoreip 192.0.2.78
get j1 ignoreip
set j1 delignoreip 192.0.2.78
set j1 delignoreip host.example
set j1 delignoreip 2001:db8::/32
get j1 ignoreip
get j1 ignorecommand
set j1 ignorecommand '/bin/false <ip>'
get j1 ignorecommand
set j1 ignorecommand ''
get j1 ignorecommand
set j1 ignorecommand
get j1 ignorecache
set j1 ignorecache 'key="<ip>", max-count=10, max-time=5m'
get j1 ignorecache
set j1 ignorecache ''
get j1 ignorecache
set j1 ignorecache
get j1 prefregex
set j1 prefregex '^x<F-CONTENT>.+</F-CONTENT>$'
get j1 prefregex
set j1 prefregex '('
set j1 prefregex
set j1 prefregex ''
get j1 failregex
set j1 addfailregex '^y (?P<ip4>\d+\.\d+\.\d+\.\d+)$'
set j1 addfailregex '^y no host$'
set j1 addfailregex '^y ( (?P<ip4>\d+)'
set j1 addfailregex
set j1 delfailregex 1
set j1 delfailregex 99
set j1 delfailregex x
set j1 delfailregex
set j1 delfailregex -1
get j1 failregex
set j1 addfailregex '^ app: failure from (?P<ip4>\d+\.\d+\.\d+\.\d+)$'
get j1 failregex
get j1 ignoreregex
set j1 addignoreregex '^ignored'
set j1 addignoreregex '('
set j1 addignoreregex '^other'
set j1 addignoreregex
get j1 ignoreregex
set j1 delignoreregex 0
set j1 delignoreregex 9
set j1 delignoreregex 0
set j1 delignoreregex
get j1 logpath
set j1 addlogpath DIR/more.log
set j1 addlogpath DIR/more.log
set j1 addlogpath DIR/tail.log tail
set j1 addlogpath DIR/x.log bogus
set j1 addlogpath DIR/x.log head y
set j1 addlogpath DIR/absent.log
set j1 addlogpath
get j1 logpath
status j1
set j1 dellogpath DIR/more.log
set j1 dellogpath DIR/tail.log
set j1 dellogpath DIR/never.log
set j1 dellogpath
get j1 logpath
get j1 journalmatch
set j1 addjournalmatch _A=b
set j1 addjournalmatch
set j1 deljournalmatch _A=b
set j1 deljournalmatch
get j1 bantime.increment
set j1 bantime.increment true
get j1 bantime.increment
set j1 bantime.increment
set j1 bantime.factor 2
get j1 bantime.factor
set j1 bantime.formula 'ban.Time * 2'
get j1 bantime.formula
set j1 bantime.multipliers '1 2 4'
get j1 bantime.multipliers
set j1 bantime.maxtime 1w
get j1 bantime.maxtime
set j1 bantime.maxtime x
set j1 bantime.rndtime 5m
get j1 bantime.rndtime
set j1 bantime.overalljails true
get j1 bantime.overalljails
get j1 bantime.bogus
set j1 bantime.increment false
get j2 bantime.increment
get j2 bantime.factor
get j2 bantime.maxtime
get j2 bantime.formula
get j1 actions
get nojail actions
get j1 actionproperties none
get j1 actionproperties
get j1 actionmethods none
get j1 actionmethods
get j1 action note actionban
get j1 action note actionflush
get j1 action note nothing
get j1 action note timeout
get j1 action note
get j1 action none actionban
get j1 action
set j1 action note actionban 'echo other <ip> >> DIR/noted'
get j1 action note actionban
set j1 action note timeout 30
set j1 action note newprop x
get j1 action note newprop
set j1 action none actionban x
set j1 action note actionban
set j1 action note
set j1 action
set j1 addaction second
get j1 actions
set j1 addaction second
set j1 action second actionban true
get j1 action second actionban
set j1 delaction second
set j1 delaction second
set j1 delaction
get j1 actions
set j1 addaction
set nojail addaction x
set j1 idle on
set j1 idle off
set j1 idle maybe
set j1 idle
set nojail idle on
set j1 banip 192.0.2.1
set j1 banip 192.0.2.1
set j1 banip 192.0.2.2 192.0.2.3 2001:DB8::1
set j1 banip 198.51.100.0/24
set j1 banip host.example
set j1 banip
set nojail banip 192.0.2.1
status j1
get j1 banned
get j1 banned 192.0.2.1
get j1 banned 192.0.2.1 192.0.2.99
get nojail banned
get j1 banip
get j1 banip ;
get j1 banip --with-time
get nojail banip
set j1 bantime 20
set j1 banip 192.0.2.200
set j1 bantime -1
set j1 banip 192.0.2.201
set j1 bantime 9000
set j1 banip 192.0.2.202
get j1 banip --with-time now
get j1 banned
status j1
set j1 bantime 600
set j1 unbanip 192.0.2.200 192.0.2.201 192.0.2.202
start j1
server-status x
banned 192.0.2.1
banned
set j1 unbanip 192.0.2.1
set j1 unbanip 192.0.2.1
set j1 unbanip --report-absent 192.0.2.1
set j1 unbanip --report-absent 192.0.2.2 192.0.2.1
set j1 unbanip
set nojail unbanip 192.0.2.1
set j1 unbanip 192.0.2.0/24
set j2 banip 192.0.2.3
unban 192.0.2.3 198.51.100.0/24
status j1
unban --all
banned
set j1 attempt 192.0.2.50
status j1
set j1 attempt 192.0.2.50 line1 line2
set j1 attempt
set nojail attempt 192.0.2.50
status j2
add j2
add j4 polling
add j5 bogus
add
add --all
status
status j4
get j4 logpath
get j4 failregex
get j4 ignoreregex
get j4 maxretry
get j4 bantime
get j4 findtime
get j4 usedns
get j4 actions
get j4 datepattern
get j4 banned
set j4 addfailregex '^ app: failure from (?P<ip4>\d+\.\d+\.\d+\.\d+)$'
set j4 addlogpath DIR/x.log
start j4
start j4
start nojail
start
set j4 banip 192.0.2.9
status j4
stop j4
stop j4
stop nojail
status
config-error 'something wrong'
config-error
multi-set
`
