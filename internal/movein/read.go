package movein

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver

	"github.com/palisade-agent/palisade/internal/control"
)

// The bounds of what is read.
const (
	maxFile  = 2 << 30   // bytes of the database
	maxRows  = 2_000_000 // of one table
	maxValue = 1 << 20   // bytes of one value
	copies   = 3         // tries, while the server writes
)

var (
	// ErrNotFail2ban is for a file that is no database of fail2ban's.
	ErrNotFail2ban = errors.New("this is no database of fail2ban's")
	// ErrDamaged is for a database that SQLite finds damaged.
	ErrDamaged = errors.New("the database is damaged")
	// ErrTooNew is for a database of a release of fail2ban that is not known.
	ErrTooNew = errors.New("the database is of a newer fail2ban")
)

// newest is the version of the database that fail2ban 1.0 and 1.1 write.
const newest = 4

// Database is what a database of fail2ban's holds.
type Database struct {
	Version   int
	Bans      []control.ImportBan // the last of each ID and jail, ended ones too, oldest first
	Positions []control.ImportPosition
	// Odd counts rows that make no sense, and Journals the places in the journal, which are not taken over: a
	// jail reads the journal from findtime ago.
	Odd, Journals int
}

// Read reads a database. Errors wrap ErrNotFail2ban, ErrDamaged, ErrTooNew, or what the system said.
func Read(ctx context.Context, path string) (*Database, error) {
	var err error
	for range copies {
		var d *Database
		if d, err = readCopy(ctx, path); err == nil || !errors.Is(err, ErrDamaged) {
			return d, err
		}
	}
	return nil, err
}

// readCopy copies the database and reads the copy.
func readCopy(ctx context.Context, path string) (d *Database, err error) {
	dir, err := os.MkdirTemp("", "palisade-import-")
	if err != nil {
		return nil, fmt.Errorf("make room for a copy: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	copied := filepath.Join(dir, "db")
	for _, suffix := range []string{"", "-journal", "-wal"} {
		err := copyFile(path+suffix, copied+suffix)
		if suffix != "" && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	// The copy may be mended by its journal; its schema is not trusted with functions.
	db, err := sql.Open("sqlite", "file:"+copied+"?_pragma=trusted_schema(0)&_pragma=cell_size_check(1)&_pragma=mmap_size(0)")
	if err != nil {
		return nil, fmt.Errorf("open the copy: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	return read(ctx, db)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	defer in.Close()
	st, err := in.Stat()
	switch {
	case err != nil:
		return fmt.Errorf("copy the database: %w", err)
	case !st.Mode().IsRegular():
		return fmt.Errorf("%w: %s is no file", ErrNotFail2ban, from)
	case st.Size() > maxFile:
		return fmt.Errorf("copy the database: %s has more than %d bytes", from, int64(maxFile))
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	_, err = io.Copy(out, io.LimitReader(in, maxFile))
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	return nil
}

// read reads an open database.
func read(ctx context.Context, db *sql.DB) (*Database, error) {
	var found string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&found); err != nil {
		if strings.Contains(err.Error(), "not a database") {
			return nil, fmt.Errorf("%w: %w", ErrNotFail2ban, err)
		}
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if found != "ok" {
		return nil, fmt.Errorf("%w: %.200s", ErrDamaged, found)
	}
	d := &Database{}
	err := db.QueryRowContext(ctx, "SELECT version FROM fail2banDb LIMIT 1").Scan(&d.Version)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNotFail2ban, err)
	case d.Version > newest:
		return nil, fmt.Errorf("%w: version %d, and %d is the newest that is known", ErrTooNew, d.Version, newest)
	case d.Version < 1:
		return nil, fmt.Errorf("%w: version %d", ErrNotFail2ban, d.Version)
	}
	if err := d.readBans(ctx, db); err != nil {
		return nil, err
	}
	if err := d.readPositions(ctx, db); err != nil {
		return nil, err
	}
	return d, nil
}

// readBans reads the last ban of each ID and jail. Before version 4 there is only the list of all bans, and
// before version 3 without their lengths.
func (d *Database) readBans(ctx context.Context, db *sql.DB) (err error) {
	query := "SELECT jail, ip, timeofban, bantime, bancount, data FROM bips ORDER BY timeofban"
	switch d.Version {
	case 1, 2:
		query = "SELECT jail, ip, MAX(timeofban), -2, COUNT(*), data FROM bans GROUP BY jail, ip ORDER BY 3"
	case 3:
		query = "SELECT jail, ip, MAX(timeofban), bantime, MAX(bancount), data FROM bans GROUP BY jail, ip ORDER BY 3"
	}
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotFail2ban, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for n := 0; rows.Next(); n++ {
		if n >= maxRows {
			return fmt.Errorf("%w: more than %d bans", ErrDamaged, maxRows)
		}
		var r row
		if err := rows.Scan(&r.jail, &r.ip, &r.start, &r.length, &r.count, &r.data); err != nil {
			d.Odd++ // a value of another kind
			continue
		}
		if b, ok := r.ban(); ok {
			d.Bans = append(d.Bans, b)
		} else {
			d.Odd++
		}
	}
	return damage(rows.Err())
}

// damage is what went wrong while rows were read.
func damage(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// readPositions reads how far the logs have been read.
func (d *Database) readPositions(ctx context.Context, db *sql.DB) (err error) {
	rows, err := db.QueryContext(ctx, "SELECT jail, path, firstlinemd5, lastfilepos FROM logs ORDER BY jail, path")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotFail2ban, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for n := 0; rows.Next(); n++ {
		if n >= maxRows {
			return fmt.Errorf("%w: more than %d logs", ErrDamaged, maxRows)
		}
		var jail, path, first sql.NullString
		var offset sql.NullFloat64 // of the journal, a time
		if err := rows.Scan(&jail, &path, &first, &offset); err != nil {
			d.Odd++
			continue
		}
		switch {
		case path.String == "systemd-journal":
			d.Journals++
		case len(first.String) != 2*20 || strings.Trim(first.String, "0123456789abcdef") != "" || jail.String == "" || path.String == "" ||
			offset.Float64 < 0 || offset.Float64 > 1<<53 || len(jail.String)+len(path.String) > maxName:
			d.Odd++ // a log without a whole line has no hash, and is read from its start
		default:
			d.Positions = append(d.Positions, control.ImportPosition{Jail: jail.String, Path: path.String, Offset: int64(offset.Float64), First: first.String})
		}
	}
	return damage(rows.Err())
}

// Ended counts the bans that are over at a time, as far as their lengths are known.
func (d *Database) Ended(now time.Time) (n int) {
	for _, b := range d.Bans {
		if b.Duration >= 0 && b.Start.Add(time.Duration(b.Duration)*time.Second).Before(now) {
			n++
		}
	}
	return n
}
