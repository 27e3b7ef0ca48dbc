-- A shock falls on an authority of the reference list, or on all of them (*).

select
    'a shock of an authority that does not exist' as broken_rule,
    shocks.shock,
    shocks.la_code,
    shocks.starts_on
from {{ ref('shocks') }} as shocks
left join {{ ref('local_authorities') }} as local_authorities
    on shocks.la_code = local_authorities.la_code
where
    shocks.la_code <> '*'
    and local_authorities.la_code is null
