package identity

import (
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// Team is what is kept of a team that was made while the gateway ran.
type Team struct {
	abi.Team
	Created time.Time
}
