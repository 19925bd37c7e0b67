// plan_epsilon: what plans cost, asked of dpflash over its C interface alone.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	failed         = 1
	badCommandLine = 2
	usage          = "usage: plan_epsilon DELTA FILE... | plan_epsilon --calibrate EPSILON DELTA COUNT RATE"
)

// member is what a member of a JSON object holds, as it was written: a number keeps every digit. It is nil without such
// a member or when the text is not one JSON object.
func member(object []byte, name string) []byte {
	var members map[string]json.RawMessage
	if json.Unmarshal(object, &members) != nil {
		return nil
	}
	return members[name]
}

// planIn is the plan of a published run. Any other document is handed on as it is: the library judges it.
func planIn(document []byte) []byte {
	if plan := member(document, "plan"); plan != nil {
		return plan
	}
	return document
}

// epsilonOf has both ends of a file's epsilon in the digits that the library wrote.
func epsilonOf(file string, delta float64) (string, error) {
	document, err := os.ReadFile(file)
	if err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return "", err
	}
	answer, err := EpsilonJSON(planIn(document), delta)
	if err != nil {
		return "", err
	}
	bracket := member(answer, "epsilon")
	lower, upper := member(bracket, "lower"), member(bracket, "upper")
	if lower == nil || upper == nil {
		return "", errors.New("the library's answer has no bracket")
	}
	return fmt.Sprintf("%s %s", lower, upper), nil
}

// report says on standard error what has no answer, and why.
func report(about string, err error) {
	fmt.Fprintf(os.Stderr, "plan_epsilon: %s: %v\n", about, err)
}

// planEpsilon writes a line for each file. It is false when a file has no answer.
func planEpsilon(out io.Writer, delta float64, files []string) bool {
	complete := true
	for _, file := range files {
		bracket, err := epsilonOf(file, delta)
		if err != nil {
			report(file, err)
			complete = false
			continue
		}
		fmt.Fprintf(out, "%s %s\n", strings.TrimSuffix(filepath.Base(file), ".json"), bracket)
	}
	return complete
}

// calibrate writes the least noise for a target, and the bracket that it was verified to have.
func calibrate(out io.Writer, epsilon, delta float64, count int64, rate float64) error {
	calibration, err := GaussianFor(epsilon, delta, count, rate)
	if err != nil {
		return err
	}
	defer calibration.Close()
	noise, err := calibration.NoiseMultiplier()
	if err != nil {
		return err
	}
	bracket, err := calibration.Epsilon()
	if err != nil {
		return err
	}
	fmt.Fprintln(out, shortest(noise), shortest(bracket.Lower), shortest(bracket.Upper))
	return nil
}

func shortest(value float64) string {
	return strconv.FormatFloat(value, 'g', -1, 64)
}

// arguments reads numbers from the command line and keeps the first error.
type arguments struct {
	err error
}

// number reads a finite decimal number. ParseFloat alone would take nan and hexadecimal digits too.
func (a *arguments) number(name, text string) float64 {
	value, err := strconv.ParseFloat(text, 64)
	if (err != nil || strings.Trim(text, "+-.0123456789eE") != "") && a.err == nil {
		a.err = fmt.Errorf("%s: %s is not a number", name, text)
	}
	return value
}

func (a *arguments) integer(name, text string) int64 {
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil && a.err == nil {
		a.err = fmt.Errorf("%s: %s is not an integer", name, text)
	}
	return value
}

// run is the whole program; its answer is the exit status.
func run(args []string) int {
	calibrates := len(args) > 0 && args[0] == "--calibrate"
	if calibrates && len(args) != 5 || !calibrates && len(args) < 2 {
		fmt.Fprintln(os.Stderr, usage)
		return badCommandLine
	}
	var read arguments
	var epsilon, delta, rate float64
	var count int64
	if calibrates {
		epsilon, delta = read.number("EPSILON", args[1]), read.number("DELTA", args[2])
		count, rate = read.integer("COUNT", args[3]), read.number("RATE", args[4])
	} else {
		delta = read.number("DELTA", args[0])
	}
	if read.err != nil {
		fmt.Fprintf(os.Stderr, "plan_epsilon: %v\n", read.err)
		return badCommandLine
	}
	if err := CheckABI(); err != nil {
		report("libdpflash.so", err)
		return failed
	}
	status := 0
	out := bufio.NewWriter(os.Stdout)
	if !calibrates && !planEpsilon(out, delta, args[1:]) {
		status = failed
	}
	if calibrates {
		if err := calibrate(out, epsilon, delta, count, rate); err != nil {
			report("--calibrate", err)
			status = failed
		}
	}
	if err := out.Flush(); err != nil {
		report("standard output", err)
		status = failed
	}
	return status
}

func main() {
	os.Exit(run(os.Args[1:]))
}
