package date

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// zoneLines lists the zone abbreviations that fail2ban knows, by their minutes from UTC. Many are used
// by more than one country; the choice is fail2ban's, and none of them follows daylight saving.
//
//nolint:misspell // names of zones are no words
const zoneLines = `
-720 Y | -660 NUT SST X | -600 CKT HAST HST TAHT TKT W | -570 MART MIT | -540 AKST GAMT GIT HADT HNY V
-480 AKDT CIST HAY HNP PST PT U | -420 HAP HNR MST PDT T | -360 CST EAST GALT HAR HNC MDT S
-300 CDT COT EASST ECT EST ET HAC HNE PET R | -270 HLV VET | -240 AST BOT CLT COST EDT FKT GYT HAE HNA PYT Q
-210 HNT NST NT | -180 ADT ART BRT CLST FKST GFT HAA P PMST PYST SRT UYT WGT | -150 HAT NDT
-120 BRST FNT O PMDT UYST WGST | -60 AZOT CVT EGT N | 0 EGST GMT UTC WET WT Z | 60 A CET DFT WAT WEDT WEST
120 B CAT CEDT CEST EET SAST WAST | 180 C EAT EEDT EEST IDT MSK | 210 IRST
240 AMT AZT D GET GST KUYT MSD MUT RET SAMT SCT | 270 AFT IRDT | 300 AMST AQTT AZST E HMT MAWT MVT PKT TFT TJT TMT UZT YEKT
330 SLT | 345 NPT | 360 ALMT BIOT BTT F IOT KGT NOVT OMST YEKST | 390 CCT MMT | 420 CXT DAVT G HOVT ICT KRAT NOVST OMSST THA WIB
480 ACT AWST BDT BNT CAST H HKT IRKT KRAST MYT PHT SGT ULAT WITA WST | 540 AWDT I IRKST JST KST PWT TLT WDT WIT YAKT
570 ACST | 600 AEST K PGT VLAT YAKST YAPT | 630 ACDT LHST | 660 AEDT L LHDT MAGT NCT PONT SBT VLAST VUT | 690 NFT
720 ANAST ANAT FJT GILT M MAGST MHT NZST PETST PETT TVT WFT | 780 FJST NZDT`

var zoneMinutes = readZones(zoneLines)

func readZones(text string) map[string]int {
	zones := map[string]int{}
	for entry := range strings.SplitSeq(strings.ReplaceAll(strings.TrimSpace(text), "\n", " | "), "|") {
		words := strings.Fields(entry)
		minutes, err := strconv.Atoi(words[0])
		if err != nil {
			panic(err) // the table above is wrong
		}
		for _, w := range words[1:] {
			zones[w] = minutes
		}
	}
	return zones
}

// ParseZone reads logtimezone: an abbreviation, an offset as +01, +0100 or +01:00, or one behind the
// other, which add up. Names with a slash are refused, as fail2ban refuses them: only fixed offsets
// are known. The empty text is UTC.
func ParseZone(s string) (*time.Location, error) {
	minutes, err := zoneOffset(s)
	if err != nil {
		return nil, err
	}
	return time.FixedZone(s, minutes*60), nil
}

// zoneOffset gives the minutes east of UTC that a zone means.
func zoneOffset(s string) (int, error) {
	letters := 0
	for letters < len(s) && s[letters] >= 'A' && s[letters] <= 'Z' {
		letters++
	}
	abbreviation, offset := s[:letters], s[letters:]
	if letters == 2 || letters > 5 || offset != "" && !isOffset(offset) {
		return 0, fmt.Errorf("unknown or unsupported time zone %q", s)
	}
	minutes, known := zoneMinutes[abbreviation]
	if !known && abbreviation != "" {
		return 0, fmt.Errorf("unknown time zone abbreviation %q", abbreviation)
	}
	if offset == "" {
		return minutes, nil
	}
	hh, mm := int(offset[1]-'0')*10+int(offset[2]-'0'), 0
	if digits := strings.TrimPrefix(offset[3:], ":"); digits != "" {
		mm = int(digits[0]-'0')*10 + int(digits[1]-'0')
	}
	if offset[0] == '-' {
		hh, mm = -hh, -mm
	}
	return minutes + hh*60 + mm, nil
}

// isOffset reports whether s is a sign, an hour below 20 and maybe minutes, with or without a colon.
func isOffset(s string) bool {
	if len(s) < 3 || s[0] != '+' && s[0] != '-' || s[1] != '0' && s[1] != '1' {
		return false
	}
	digits := s[2:3]
	if rest := s[3:]; rest != "" {
		rest = strings.TrimPrefix(rest, ":")
		if len(rest) != 2 {
			return false
		}
		digits += rest
	}
	return strings.Trim(digits, "0123456789") == ""
}
