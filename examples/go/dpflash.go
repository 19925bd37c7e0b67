package main

/*
#cgo CFLAGS: -I${SRCDIR}/../../bindings_c/include
#cgo LDFLAGS: -ldpflash
#include <dpflash/dpflash.h>
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"
)

// Error is a call that the library refused.
type Error struct {
	Status int
	Reason string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s (%s)", e.Reason, C.GoString(C.dpf_status_text(C.int(e.Status))))
}

// call makes one call of the library. The reason of a failure belongs to the thread that made the call, and Go may move
// a goroutine to another thread between two calls of C: it is held to one until the reason is copied.
func call(function func() C.int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if status := function(); status != C.DPF_OK {
		return &Error{Status: int(status), Reason: C.GoString(C.dpf_last_error())}
	}
	return nil
}

// CheckABI fails with a library older than the header. A newer one keeps to the header's ABI.
func CheckABI() error {
	if version := C.dpf_abi_version(); version < C.DPF_ABI_VERSION {
		return fmt.Errorf("the library has ABI version %d, this program needs %d", version, C.DPF_ABI_VERSION)
	}
	return nil
}

// chars is where the bytes lie, for the length of one call of C.
func chars(bytes []byte) *C.char {
	if len(bytes) == 0 {
		return nil
	}
	return (*C.char)(unsafe.Pointer(&bytes[0]))
}

// EpsilonJSON is the library's answer for the JSON document of a plan.
func EpsilonJSON(plan []byte, delta float64) ([]byte, error) {
	// The macro DPF_OPTIONS_INIT by hand: cgo does not see macros that are no plain numbers.
	options := C.dpf_options{
		struct_size:    C.uint32_t(unsafe.Sizeof(C.dpf_options{})),
		abi_version:    C.DPF_ABI_VERSION,
		accountant:     C.DPF_ACCOUNTANT_PLD,
		engine:         C.DPF_ENGINE_AUTO,
		relative_width: 1e-4,
	}
	needed := C.size_t(1024)
	for {
		// Each try works the answer out anew, and it holds the time that took: it may come out some digits longer.
		buffer := make([]byte, needed+64)
		err := call(func() C.int {
			return C.dpf_epsilon_json(chars(plan), C.size_t(len(plan)), C.double(delta), &options,
				chars(buffer), C.size_t(len(buffer)), &needed)
		})
		var refused *Error
		if errors.As(err, &refused) && refused.Status == C.DPF_ERROR_BUFFER_TOO_SMALL {
			continue
		}
		if err != nil {
			return nil, err
		}
		return buffer[:needed-1], nil
	}
}

// Bracket is a certified interval; Upper is the end to publish.
type Bracket struct {
	Lower, Upper float64
}

// Calibration is a noise multiplier with the certificate of what it costs.
type Calibration struct {
	handle *C.dpf_calibration
}

// GaussianFor finds the least Gaussian noise for (epsilon, delta) over count releases, each on a Poisson sample of this
// rate. The calibration is to be closed.
func GaussianFor(epsilon, delta float64, count int64, rate float64) (*Calibration, error) {
	releases := C.dpf_releases{
		struct_size: C.uint32_t(unsafe.Sizeof(C.dpf_releases{})),
		abi_version: C.DPF_ABI_VERSION,
		count:       C.int64_t(count),
		rate:        C.double(rate),
		adjacency:   C.DPF_ADD_OR_REMOVE_ONE,
	}
	var calibration Calibration
	err := call(func() C.int {
		return C.dpf_calibration_gaussian_for(C.double(epsilon), C.double(delta), &releases, &calibration.handle)
	})
	if err != nil {
		return nil, err
	}
	return &calibration, nil
}

// Close frees the calibration; a second time does nothing.
func (c *Calibration) Close() {
	C.dpf_calibration_free(c.handle)
	c.handle = nil
}

// NoiseMultiplier is the standard deviation of the noise over one record's clipping norm.
func (c *Calibration) NoiseMultiplier() (float64, error) {
	var value C.double
	err := call(func() C.int { return C.dpf_calibration_noise_multiplier(c.handle, &value) })
	return float64(value), err
}

// Epsilon is what the releases cost at the calibration's delta.
func (c *Calibration) Epsilon() (Bracket, error) {
	bracket := C.dpf_bracket{
		struct_size: C.uint32_t(unsafe.Sizeof(C.dpf_bracket{})),
		abi_version: C.DPF_ABI_VERSION,
	}
	err := call(func() C.int { return C.dpf_calibration_epsilon(c.handle, &bracket) })
	return Bracket{Lower: float64(bracket.lower), Upper: float64(bracket.upper)}, err
}
