package gateway

import (
	"github.com/sallyport-dev/sallyport/formats"
)

// list answers a model list, or one model of it, with the names that this identity may use in this format.
func (x *exchange) list() *refusal {
	if x.auth.Identity != nil {
		if no := x.standing(); no != nil {
			return no
		}
	}
	one := x.route.Operation == formats.GetModel
	var models []formats.Model
	for _, m := range x.snapshot.models[x.route.Format] {
		if x.mayUse(m.ID) && (!one || m.ID == string(x.route.Model)) {
			models = append(models, m)
		}
	}
	if one && len(models) == 0 {
		return bad(&formats.Error{Status: 404, Code: formats.CodeModelNotFound, Param: "model", NoRetry: true,
			Message: "There is no model " + quote(x.route.Model) + " here."})
	}
	if one {
		x.buffer = formats.AppendModel(x.buffer[:0], x.route.Format, &models[0])
	} else {
		x.buffer = formats.AppendModels(x.buffer[:0], x.route.Format, models)
	}
	x.answer(200, contentJSON)
	x.giveBody()
	return nil
}
