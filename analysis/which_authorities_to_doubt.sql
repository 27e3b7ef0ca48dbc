-- Which authorities' records to look at first: how many checks found something, in how many of them at least nine
-- tenths of the other authorities did better, and the check in which most did. A check says what was found, not that
-- somebody did wrong: read it beside the numbers of records, and ask the authority.

with
data_quality as (

    select * from {{ ref('data_quality') }}

),

local_authorities as (

    select * from {{ ref('local_authorities') }}

),

share_failed_by_check as (

    select
        la_code,
        check_name,
        cast(sum(n_records) as bigint) as n_records,
        cast(sum(n_failed) as bigint) as n_failed,
        sum(n_failed) / cast(sum(n_records) as double) as share_failed
    from data_quality
    where la_code is not null
    group by la_code, check_name
    having sum(n_records) > 0

),

place_among_authorities as (

    select
        la_code,
        check_name,
        n_records,
        n_failed,
        share_failed,
        -- Equals do not count as better: where most authorities fail alike nobody stands out.
        percent_rank() over (partition by check_name order by share_failed) as share_of_others_better
    from share_failed_by_check

),

checks_worst_first as (

    select
        la_code,
        check_name,
        n_records,
        n_failed,
        share_failed,
        share_of_others_better,
        row_number() over (
            partition by la_code
            order by
                case when n_failed > 0 then share_of_others_better else 0 end desc,
                share_failed desc,
                check_name asc
        ) as place_in_authority
    from place_among_authorities

)

select
    checks_worst_first.la_code,
    local_authorities.la_name,
    count(*) as n_checks,
    cast(sum(case when checks_worst_first.n_failed > 0 then 1 else 0 end) as bigint) as n_checks_that_found,
    cast(
        sum(
            case
                when checks_worst_first.n_failed > 0 and checks_worst_first.share_of_others_better >= 0.9 then 1 else 0
            end
        ) as bigint
    ) as n_checks_among_worst,
    max(case when checks_worst_first.place_in_authority = 1 then checks_worst_first.check_name end) as worst_check_name,
    max(case when checks_worst_first.place_in_authority = 1 then checks_worst_first.n_records end) as worst_n_records,
    max(case when checks_worst_first.place_in_authority = 1 then checks_worst_first.n_failed end) as worst_n_failed,
    max(case when checks_worst_first.place_in_authority = 1 then checks_worst_first.share_failed end)
        as worst_share_failed
from checks_worst_first
inner join local_authorities on checks_worst_first.la_code = local_authorities.la_code
group by checks_worst_first.la_code, local_authorities.la_name
order by n_checks_among_worst desc, n_checks_that_found desc, checks_worst_first.la_code asc
