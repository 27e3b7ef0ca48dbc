-- A site goes live after its programme's trial begins and before its data end: otherwise it has no before or no after
-- (definitions, section 1).

with
sites as (

    select * from {{ ref('sites') }}

),

programmes as (

    select * from {{ ref('programmes') }}

)

select
    'a go-live date lies after the trial begins and before the data end' as broken_rule,
    sites.programme,
    sites.la_code,
    sites.go_live_date,
    programmes.trial_start,
    programmes.data_span_end
from sites
inner join programmes on sites.programme = programmes.programme
where sites.go_live_date <= programmes.trial_start or sites.go_live_date > programmes.data_span_end
