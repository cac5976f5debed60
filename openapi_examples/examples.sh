#!/bin/sh
# Every call of Kerascope with curl, a function each.
#
# `sh examples.sh` lists them, and `sh examples.sh cam occlusion` makes those two calls. KERASCOPE_URL and KERASCOPE_KEY
# in the environment say where the service is and with which key it is called. Pictures within JSON stay there: most
# methods answer one alone to `?format=png`. `make docs` writes this file from requests/.
set -eu
HERE=$(dirname "$0")
URL=${KERASCOPE_URL:-http://127.0.0.1:8000}
ANSWER=$(mktemp)
trap 'rm -f "$ANSWER"' EXIT

# Runs curl with the key.
curl_with_key() {
  curl --silent --show-error ${KERASCOPE_KEY:+--header "Authorization: Bearer $KERASCOPE_KEY"} "$@"
}

# Makes a call with what curl takes and writes the answer; a problem ends the script and says what was wrong.
call() {
  : >"$ANSWER"
  status=$(curl_with_key --output "$ANSWER" --write-out '%{http_code}' "$@")
  if [ "$status" -ge 400 ]; then
    echo "$status: $(text_of 'detail|error')" >&2
    exit 1
  fi
  cat "$ANSWER"
}

# Writes the first text of that name in the last answer.
text_of() {
  grep -oE "\"($1)\":\"([^\"\\\\]|\\\\.)*\"" "$ANSWER" | head -n 1 | sed -E 's/^"[a-z]+":"(.*)"$/\1/; s/\\(["\\])/\1/g'
}

# Writes a file that lies beside this one as JSON holds it.
base64_of() {
  base64 <"$HERE/$1" | tr -d '\n'
}

# Waits for a job's end, which is where its events end.
wait_for() {
  curl_with_key --no-buffer "$URL/v1/jobs/$1/events" >/dev/null
}

## Feature maps of three layers, by index.
activations() {
  call "$URL/v1/models/shapes/activations?layers=0,3,6" \
    --header 'Content-Type: image/png' \
    --data-binary @"$HERE/triangle.png"
}

## Grad-CAM of the most probable class.
cam() {
  call "$URL/v1/models/efficientnet-lite0/cam" --header 'Content-Type: image/png' --data-binary @"$HERE/cat.png"
}

## Grad-CAM with the image as base64 in JSON, raw map as a list.
cam_json() {
  call "$URL/v1/models/shapes/cam" --header 'Content-Type: application/json' --data @- <<END
{
  "image": "$(base64_of triangle.png)",
  "target": "triangle",
  "outputs": "overlay",
  "arrays": "list"
}
END
}

## Grad-CAM of a class by its label, as multipart form.
cam_multipart() {
  call "$URL/v1/models/efficientnet-lite0/cam" --form image=@"$HERE/cat.png" --form target=tabby --form outputs=heatmap
}

## Cancel a job; one that has ended stays as it is.
cancel_job() {
  submit_job >/dev/null
  job=$(text_of id)
  wait_for "$job"
  call "$URL/v1/jobs/$job" --request DELETE
}

## Share an uploaded model with every key (after upload_model).
change_model() {
  call "$URL/v1/models/mine" --request PATCH --header 'Content-Type: application/json' --data '{"visibility": "shared"}'
}

## Open Inference Protocol: is a model warm?
check_served_model_ready() {
  call "$URL/v2/models/efficientnet-lite0/ready"
}

## Open Inference Protocol, an error: there is no such model.
check_served_version_ready() {
  call "$URL/v2/models/shape/versions/1/ready"
}

## Open Inference Protocol: is the server alive?
check_server_live() {
  call "$URL/v2/health/live"
}

## Open Inference Protocol: can calls be answered?
check_server_ready() {
  call "$URL/v2/health/ready"
}

## The concepts that pictures of a class are made of, waited for up to a minute.
concepts() {
  call "$URL/v1/models/shapes/concepts" \
    --header 'Prefer: wait=60' \
    --header 'Content-Type: application/json' \
    --data @- \
    <<END
{
  "images": ["$(base64_of triangle.png)", "$(base64_of cat.png)"],
  "target": "triangle",
  "concepts": 2,
  "outputs": "sheet"
}
END
}

## Delete an uploaded model with all its versions (after upload_model).
delete_model() {
  call "$URL/v1/models/mine" --request DELETE
}

## One layer with its config and weight statistics.
describe_layer() {
  call "$URL/v1/models/shapes/layers/conv2d_5"
}

## What is known about a model.
describe_model() {
  call "$URL/v1/models/shapes"
}

## Open Inference Protocol: a model's input and outputs.
describe_served_model() {
  call "$URL/v2/models/efficientnet-lite0"
}

## Open Inference Protocol, an error: models that were not uploaded have no versions.
describe_served_version() {
  call "$URL/v2/models/shapes/versions/1"
}

## Open Inference Protocol: who answers.
describe_server() {
  call "$URL/v2"
}

## Three methods for one class, measured by three metrics and ranked.
evaluate() {
  call "$URL/v1/models/shapes/evaluate?methods=gradcam,smoothgrad,occlusion&metrics=deletion,insertion,energy&box=14,14,50,50&target=triangle&steps=16&outputs=chart" \
    --header 'Content-Type: image/png' \
    --data-binary @"$HERE/triangle.png"
}

## Several methods at once, by name or with parameters of their own.
explain() {
  call "$URL/v1/models/shapes/explain" --header 'Content-Type: application/json' --data @- <<END
{
  "image": "$(base64_of triangle.png)",
  "target": "triangle",
  "methods": [
    "gradcam",
    "gradcam++",
    {"method": "saliency", "variant": "smoothgrad", "samples": 10, "seed": 7},
    {"method": "occlusion", "patch": 7, "target": "triangle-square"}
  ],
  "outputs": "overlay",
  "top": 1
}
END
}

## KServe V1: a batch explained by a method with its parameters.
explain_instances() {
  call "$URL/v1/models/shapes:explain" --header 'Content-Type: application/json' --data @- <<END
{
  "instances": [{"b64": "$(base64_of triangle.png)"}],
  "parameters": {"method": "layercam", "target": "triangle", "layer": "conv2d_5", "top": 1}
}
END
}

## How far a job is.
get_job() {
  submit_job >/dev/null
  job=$(text_of id)
  wait_for "$job"
  call "$URL/v1/jobs/$job"
}

## Open Inference Protocol: a picture as BYTES, one of the two outputs.
infer_served_model() {
  call "$URL/v2/models/shapes/infer" --header 'Content-Type: application/json' --data @- <<END
{
  "id": "42",
  "inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": ["$(base64_of triangle.png)"]}],
  "outputs": [{"name": "probabilities"}]
}
END
}

## Open Inference Protocol: the first version of an uploaded model (after upload_model).
infer_served_version() {
  call "$URL/v2/models/mine/versions/1/infer" --header 'Content-Type: application/json' --data @- <<END
{
  "inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": ["$(base64_of triangle.png)"]}]
}
END
}

## Follow a job until it ends.
job_events() {
  submit_job >/dev/null
  job=$(text_of id)
  curl_with_key "$URL/v1/jobs/$job/events" --no-buffer --header 'Accept: text/event-stream'
}

## What a job has so far, as PNG.
job_preview() {
  submit_job >/dev/null
  job=$(text_of id)
  wait_for "$job"
  call "$URL/v1/jobs/$job/preview" --header 'Accept: image/png' >job_preview.png
}

## The result of a job, in another form than at its submission.
job_result() {
  submit_job >/dev/null
  job=$(text_of id)
  wait_for "$job"
  call "$URL/v1/jobs/$job/result?format=json&outputs=grid"
}

## Kernels of the first convolution in gray.
kernels() {
  call "$URL/v1/models/shapes/layers/0/kernels?colormap=gray&filters=0-15"
}

## The newest jobs that succeeded.
list_jobs() {
  submit_job >/dev/null
  job=$(text_of id)
  wait_for "$job"
  call "$URL/v1/jobs?state=succeeded&limit=100"
}

## Layers, and which methods take them.
list_layers() {
  call "$URL/v1/models/shapes/layers"
}

## The catalogue of methods, with what is valid for a model and why not.
list_methods() {
  call "$URL/v1/methods?model=shapes"
}

## Every model that can be loaded.
list_models() {
  call "$URL/v1/models"
}

## Is the process alive?
livez() {
  call "$URL/livez"
}

## Warm a model now.
load_model() {
  call "$URL/v1/models/shapes/load" --request POST
}

## What excites the first eight filters of a convolution, waited for up to a minute.
maximization() {
  call "$URL/v1/models/shapes/maximization" \
    --header 'Prefer: wait=60' \
    --header 'Content-Type: application/json' \
    --data '{"layer": "conv2d_1", "channels": "0-7", "size": 32, "steps": 30, "columns": 4, "outputs": "grid,history"}'
}

## Metrics for Prometheus.
metrics() {
  call "$URL/metrics" --header 'Accept: text/plain;version=0.0.4'
}

## model.summary() as text.
model_summary() {
  call "$URL/v1/models/shapes/summary" --header 'Accept: text/plain'
}

## The versions of an uploaded model (after upload_model).
model_versions() {
  call "$URL/v1/models/mine/versions"
}

## What the probability loses where a part of the image is covered, and the part that matters.
occlusion() {
  call "$URL/v1/models/efficientnet-lite0/occlusion?patch=64&stride=32" \
    --header 'Content-Type: image/png' \
    --data-binary @"$HERE/cat.png"
}

## Shapley values of the parts of the image, for the class and against it, with their standard errors.
perturbation() {
  call "$URL/v1/models/shapes/perturbation?method=kernelshap&target=triangle&cells=6&samples=200&outputs=heatmap" \
    --header 'Content-Type: image/png' \
    --data-binary @"$HERE/triangle.png"
}

## The most probable classes.
predict() {
  call "$URL/v1/models/efficientnet-lite0/predict?top=3" \
    --header 'Content-Type: image/png' \
    --data-binary @"$HERE/cat.png"
}

## KServe V1: the probability of every class, for a batch of pictures.
predict_instances() {
  call "$URL/v1/models/shapes:predict" --header 'Content-Type: application/json' --data @- <<END
{"instances": [{"b64": "$(base64_of triangle.png)"}, {"b64": "$(base64_of triangle.png)"}]}
END
}

## Can calls be answered?
readyz() {
  call "$URL/readyz"
}

## Integrated gradients with signs; the answer says how complete the sum is.
saliency() {
  call "$URL/v1/models/shapes/saliency?method=integrated_gradients&target=triangle&sign=signed&outputs=heatmap" \
    --header 'Content-Type: image/png' \
    --data-binary @"$HERE/triangle.png"
}

## Any method as a background job.
submit_job() {
  call "$URL/v1/models/shapes/maximization?layer=conv2d_1&channels=0-7&steps=40&format=png" \
    --request POST \
    --header 'Prefer: respond-async' \
    --header 'Idempotency-Key: my-first-job'
}

## A problem: the layer does not exist.
unknown_layer() {
  call "$URL/v1/models/efficientnet-lite0/cam?layer=top_activaton" \
    --header 'Content-Type: image/png' \
    --data-binary @"$HERE/cat.png"
}

## Free a model's memory.
unload_model() {
  call "$URL/v1/models/shapes/unload" --request POST
}

## Upload a model; a second upload of its ID is its second version.
upload_model() {
  call "$URL/v1/models" --form id=mine --form model=@"$HERE/../service/models/catalogue/shapes/shapes.keras"
}

# Lists the examples: each stands below a line that begins with two hashes.
list() {
  awk '/^## / { summary = substr($0, 4); getline; sub(/\(.*/, ""); printf "%-28s%s\n", $0, summary }' "$0"
}

[ $# -gt 0 ] || list
for name; do
  list | cut -d ' ' -f 1 | grep -Fqx -- "$name" || {
    echo "there is no example '$name'; examples.sh without a name lists them" >&2
    exit 2
  }
done
for name; do
  [ $# -eq 1 ] || printf '\n==> %s\n' "$name"
  "$name"
done
