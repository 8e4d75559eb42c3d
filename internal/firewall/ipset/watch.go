package ipset

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/netlink"
)

// pulse is what changes when anybody changes rules: the generation of nftables' rules, or how many rules
// the legacy tables that we are in have and how long they are.
type pulse struct {
	generation uint32
	tables     [4]legacyInfo // raw and mangle of IPv4, and of IPv6
}

// legacyInfo is what the kernel tells of a legacy table.
type legacyInfo struct {
	hooks   [5]uint32 // where the built-in chains begin
	ends    [5]uint32
	entries uint32
	size    uint32
}

// feelPulse takes some microseconds. inMangle says that we have rules in the table mangle.
func feelPulse(s *socket, programs []program, inMangle bool) (p pulse, err error) {
	nft := false
	for _, prog := range programs {
		if !prog.legacy {
			nft = true
			continue
		}
		i := 0
		if prog.v6 {
			i = 2
		}
		if p.tables[i], err = readLegacyInfo(prog.v6, "raw"); err != nil {
			return p, err
		}
		if inMangle {
			if p.tables[i+1], err = readLegacyInfo(prog.v6, "mangle"); err != nil {
				return p, err
			}
		}
	}
	if nft {
		p.generation, err = readGeneration(s)
	}
	return p, err
}

// readGeneration asks for the number that every change of nftables' rules raises.
func readGeneration(s *socket) (generation uint32, err error) {
	w := s.writer()
	w.End(w.begin(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETGEN, unix.NLM_F_ACK, unix.AF_UNSPEC))
	err = s.query(w, func(m netlink.Message) error {
		netlink.Attributes(m.Body(), func(typ uint16, value []byte) {
			if typ == unix.NFTA_GEN_ID {
				generation = uint32(netlink.Number(value))
			}
		})
		return nil
	})
	if err != nil {
		return 0, failed("ask for the generation of nftables' rules", err)
	}
	return generation, nil
}

const (
	// levelIPv4, levelIPv6 and getInfo are IPPROTO_IP, IPPROTO_IPV6, and IPT_SO_GET_INFO and IP6T_SO_GET_INFO,
	// which are the same.
	levelIPv4, levelIPv6 = 0, 41
	getInfo              = 64
)

// readLegacyInfo asks for a legacy table, and gives zeros where there is none.
func readLegacyInfo(v6 bool, name string) (legacyInfo, error) {
	family, level := unix.AF_INET, levelIPv4
	if v6 {
		family, level = unix.AF_INET6, levelIPv6
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return legacyInfo{}, failed("open a socket to look at rules", err)
	}
	defer func() { _ = unix.Close(fd) }()
	// struct ipt_getinfo.
	var info struct {
		name  [32]byte
		valid uint32
		legacyInfo
	}
	copy(info.name[:len(info.name)-1], name)
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), getInfo,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errors.Is(errno, unix.ENOENT) || errors.Is(errno, unix.ENOPROTOOPT) {
		return legacyInfo{}, nil
	}
	if errno != 0 {
		return legacyInfo{}, failed("look at the table "+name, os.NewSyscallError("getsockopt", errno))
	}
	return info.legacyInfo, nil
}
