package main

import sallyport "github.com/sallyport-dev/sallyport/sdk/go"

// chooseNext picks among the steps that are available, which the gateway knows: it counts retries, and takes away what
// may not be asked. So all that is decided here is whether the step of the attempt before is tried again, and which one
// comes in its place: of the lowest priority, by the strategy of the chain.
func chooseNext(c *sallyport.StepChoice) sallyport.Verdict {
	switch last := c.LastError(); last {
	case sallyport.NoError:
		return chooseFirst(c)
	case sallyport.Rejected, sallyport.ContentPolicy:
		return c.StopWithReason("rejected") // every other provider would say the same
	default:
		return chooseAfter(c, last)
	}
}

func chooseFirst(c *sallyport.StepChoice) sallyport.Verdict {
	left := candidates(c.Available())
	switch size, first := left.count(); {
	case size == 0 && c.Attempt() > 1:
		return c.StopWithReason("nothing left")
	case size == 0:
		return sallyport.Pass // there is no last error to stop with
	case len(left) == 1:
		return c.ChooseWithReason(first, "only one left")
	default:
		step, why, err := pick(c, left, size, first)
		if err != nil {
			return sallyport.Fail(err)
		}
		return c.ChooseWithReason(step, why)
	}
}

// chooseAfter chooses after an attempt that another one may make good.
func chooseAfter(c *sallyport.StepChoice, last sallyport.ErrorClass) sallyport.Verdict {
	left := candidates(c.Available())
	before := -1
	if step, ok := c.LastStep(); ok {
		before = step
	}
	switch last {
	case sallyport.Transient, sallyport.RateLimited:
		if left.has(before) {
			return c.ChooseWithReason(before, "retry")
		}
	case sallyport.ContextLength:
		if left.keepLarger(c.Contexts(), before); left.empty() {
			return c.StopWithReason("no larger context left")
		}
	case sallyport.ModelNotFound:
		left.drop(before)
	default: // not sent, ambiguous, a refused credential, what the future brings: others first
		if again := left.drop(before); again && left.empty() {
			return c.ChooseWithReason(before, "retry")
		}
	}
	size, first := left.count()
	if size == 0 {
		return c.StopWithReason("nothing left")
	}
	step, _, err := pick(c, left, size, first)
	if err != nil {
		return sallyport.Fail(err)
	}
	return c.ChooseWithReason(step, "failover")
}
