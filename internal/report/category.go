package report

import "strings"

// kinds tell the category by the name of a filter: the longest beginning that fits counts.
func kinds() map[string]Category {
	return map[string]Category{
		"sshd": SSHBruteForce, "ssh": SSHBruteForce, "dropbear": SSHBruteForce, "selinux-ssh": SSHBruteForce,
		"proftpd": FTPBruteForce, "pure-ftpd": FTPBruteForce, "vsftpd": FTPBruteForce, "wuftpd": FTPBruteForce, "gssftpd": FTPBruteForce, "ftp": FTPBruteForce,
		"postfix": MailBruteForce, "dovecot": MailBruteForce, "exim": MailBruteForce, "courier": MailBruteForce, "sendmail": MailBruteForce, "cyrus": MailBruteForce,
		"sieve": MailBruteForce, "solid-pop3d": MailBruteForce, "uwimap": MailBruteForce, "perdition": MailBruteForce, "qmail": MailBruteForce, "sasl": MailBruteForce,
		"kerio": MailBruteForce, "imap": MailBruteForce, "pop3": MailBruteForce, "smtp": MailBruteForce, "assp": MailBruteForce,
		"exim-spam": Spam, "postfix-rbl": Spam, "sendmail-reject": Spam,
		"apache-auth": WebBruteForce, "nginx-http-auth": WebBruteForce, "lighttpd-auth": WebBruteForce, "phpmyadmin": WebBruteForce, "roundcube": WebBruteForce,
		"horde": WebBruteForce, "squirrelmail": WebBruteForce, "sogo": WebBruteForce, "openwebmail": WebBruteForce, "guacamole": WebBruteForce, "webmin": WebBruteForce,
		"drupal": WebBruteForce, "wordpress": WebBruteForce, "nextcloud": WebBruteForce, "owncloud": WebBruteForce, "gitlab": WebBruteForce, "grafana": WebBruteForce,
		"bitwarden": WebBruteForce, "vaultwarden": WebBruteForce, "domino": WebBruteForce, "oracleims": MailBruteForce, "traefik": WebBruteForce, "caddy": WebBruteForce,
		"zoneminder": WebBruteForce, "monit": WebBruteForce, "tine20": WebBruteForce, "3proxy": BruteForce, "squid": BruteForce,
		"apache": WebAttack, "nginx": WebAttack, "php-url-fopen": WebAttack, "suhosin": WebAttack, "haproxy": WebAttack, "groupoffice": WebBruteForce,
		"apache-badbots": WebScan, "apache-botsearch": WebScan, "nginx-botsearch": WebScan, "apache-noscript": WebScan, "apache-nohome": WebScan, "apache-fakegooglebot": WebScan,
		"asterisk": VoIPFraud, "freeswitch": VoIPFraud, "kamailio": VoIPFraud, "sip": VoIPFraud, "murmur": BruteForce,
		"mysqld": DBBruteForce, "mysql": DBBruteForce, "mariadb": DBBruteForce, "mongodb": DBBruteForce, "mssql": DBBruteForce, "postgres": DBBruteForce, "redis": DBBruteForce,
		"portsentry": PortScan, "portscan": PortScan, "scanlogd": PortScan,
		"pam": BruteForce, "xinetd": PortScan, "named": Attack, "recidive": Attack, "openvpn": BruteForce, "softethervpn": BruteForce, "stunnel": BruteForce, "screensharing": BruteForce,
		"ejabberd": BruteForce, "nagios": BruteForce, "counter-strike": BruteForce, "froxlor": WebBruteForce, "directadmin": WebBruteForce,
	}
}

// categoryOf tells what was done by the filter's name, or else by the jail's.
func categoryOf(filter, jail string) Category {
	for _, name := range []string{filter, jail} {
		best, category := 0, Attack
		for prefix, c := range kinds() {
			if len(prefix) > best && strings.HasPrefix(strings.ToLower(name), prefix) {
				best, category = len(prefix), c
			}
		}
		if best > 0 {
			return category
		}
	}
	return Attack
}

// text is the category for people.
func (c Category) text() string {
	switch c {
	case SSHBruteForce:
		return "SSH brute force"
	case FTPBruteForce:
		return "FTP brute force"
	case MailBruteForce:
		return "Brute force of mail accounts"
	case WebBruteForce:
		return "Brute force of a web login"
	case WebAttack:
		return "Attack on a web server"
	case WebScan:
		return "Search for weak spots of a web server"
	case VoIPFraud:
		return "Attack on a telephone server"
	case DBBruteForce:
		return "Brute force of a database"
	case Spam:
		return "Spam"
	case PortScan:
		return "Port scan"
	case BruteForce:
		return "Brute force of a login"
	case Attack:
	}
	return "Attack"
}

// service is what was attacked, for people.
func (c Category) service() string {
	switch c {
	case SSHBruteForce:
		return "SSH"
	case FTPBruteForce:
		return "FTP"
	case MailBruteForce, Spam:
		return "mail"
	case WebBruteForce, WebAttack, WebScan:
		return "web"
	case VoIPFraud:
		return "SIP"
	case DBBruteForce:
		return "database"
	case PortScan, BruteForce, Attack:
	}
	return "other"
}
